"""Every mistake in params.yaml as one sentence: key, file and line, what is allowed, what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

Key = tuple[str | int, ...]

DATA_KINDS = {"scenes", "voc", "ade20k", "coco", "coco_stuff", "imagenet", "pascal_context", "folder"}


@dataclass(frozen=True)
class Problem:
    """One mistake: where it is, what is wrong, and what could stand there."""

    key: Key
    wrong: str
    allowed: Sequence[str] = field(default=())
    given: str | None = None

    def sentence(self, path: Path, lines: dict[Key, int]) -> str:
        key, line = self.key, None
        while key and line is None:
            line, key = lines.get(key), key[:-1]
        where = f"{path}:{line}" if line else str(path)
        meant = difflib.get_close_matches(self.given or "", [str(a) for a in self.allowed], n=1)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        choice = f" (allowed: {', '.join(map(str, self.allowed))})" if self.allowed else ""
        return f"{where}: {'.'.join(map(str, self.key))}: {self.wrong}{choice}{hint}"


class ParamsError(ValueError):
    """One or more mistakes in a parameter file; `str()` gives one line for each."""

    def __init__(self, problems: Sequence[Problem], path: Path, lines: dict[Key, int]):
        self.problems = list(problems)
        super().__init__("\n".join(p.sentence(path, lines) for p in self.problems))


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-5 as a string; scientific notation without a point is a number here."""


_Loader.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", __import__("re").compile(r"^[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def lines_of(path: Path) -> tuple[dict, dict[Key, int]]:
    """The tree in a YAML file and the line on which each key stands.

    Raises:
        ParamsError: the file is missing, is no YAML, is no mapping, or gives a key twice.
    """
    return lines_of_text(read(path), path)


def read(path: Path) -> str:
    """The text of a file. Raises ParamsError when there is none."""
    try:
        return path.read_text()
    except OSError as error:
        raise ParamsError(
            [Problem((), f"cannot be read ({error.strerror}): run from the folder that holds it")], path, {}
        ) from None


def lines_of_text(text: str, path: Path) -> tuple[dict, dict[Key, int]]:
    """`lines_of` for text at hand; `path` is for messages."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[Key, int] = {}
        if not isinstance(node, yaml.MappingNode):
            raise ParamsError([Problem((), "must be a mapping of parameter groups")], path, {})
        if twice := list(_walk(node, (), lines)):
            raise ParamsError([Problem(key, "is given twice: keep one") for key in twice], path, lines)
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" on line {mark.line + 1}" if mark else ""
        raise ParamsError([Problem((), f"is no valid YAML{line}: {getattr(error, 'problem', error)}")], path, {}) from None


def _walk(node: yaml.Node, at: Key, lines: dict[Key, int]):
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, key.value)
            if here in lines:
                yield here
            lines[here] = key.start_mark.line + 1
            yield from _walk(value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*at, i)] = value.start_mark.line + 1
            yield from _walk(value, (*at, i), lines)


def problems_of(error: ValidationError, root: type[BaseModel], prefix: Key) -> list[Problem]:
    """pydantic's findings as problems, with the keys that the schema would have accepted."""
    found = []
    for e in error.errors():
        tags = DATA_KINDS  # pydantic puts the chosen member of a union into the path; the file has no such key
        key = tuple(k for i, k in enumerate(e["loc"]) if not (k in tags and e["loc"][:1] == ("data",) and i == 2))
        by_fidelity = key[-1:] == ("value",)  # pydantic's mark of a parameter that may also say `fidelity`
        key = key[:-1] if by_fidelity else key
        shown = (*prefix, *key)
        if e["type"] == "string_pattern_mismatch":
            shown = tuple(k for k in shown if k != "[key]")
            found.append(Problem(shown, f"{e['input']!r} is no name: letters, digits, _ and . only"))
        elif e["type"] == "too_short" and e["input"]:
            continue  # members that are refused are not counted; they have their own sentences
        elif e["type"] == "extra_forbidden":
            fields = _fields(root, key[:-1])
            found.append(Problem(shown, "is no parameter", sorted(set(fields)), str(key[-1])))
        elif e["type"] == "missing":
            found.append(Problem(shown, "is missing"))
        elif e["type"] in ("literal_error", "union_tag_invalid"):
            expected = e["ctx"].get("expected") or e["ctx"].get("expected_tags")
            value = e["ctx"].get("tag", e["input"])
            choices = expected.replace("'", "").replace(" or ", ", ").split(", ") + ["fidelity"] * by_fidelity
            found.append(Problem(shown, f"{value!r} is not allowed", choices, str(value)))
        else:
            message = e["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
            found.append(Problem(shown, f"{message}, not {e['input']!r}"))
    return found


def _fields(model: type[BaseModel], at: Key) -> list[str]:
    """Names of the parameters that the schema knows in the group at this key."""
    kinds: list[object] = [model]
    for step in at:
        deeper: list[object] = []
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                if step in kind.model_fields:
                    deeper += _alternatives(kind.model_fields[step].annotation)
            elif get_origin(kind) is dict:
                deeper += _alternatives(get_args(kind)[1])
        kinds = deeper
    return [name for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel) for name in kind.model_fields]


def _alternatives(annotation: object) -> list[object]:
    """The members of a union or of an Annotated type, flattened."""
    if hasattr(annotation, "__metadata__"):
        return _alternatives(annotation.__origin__)
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [a for arg in get_args(annotation) for a in _alternatives(arg)]
    return [annotation]
