"""Every mistake in params.yaml as one sentence: file and line, key, what is allowed, what was probably meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cribo.command import did_you_mean
from cribo.params.data import DATA_KINDS

Key = tuple[str | int, ...]

GROUP = "should be a group of keys"
WANTED = {  # by pydantic's error type; for those whose own message is in terms of Python
    "tuple_type": "should be a list as [a, b]",
    "dict_type": GROUP,
    "model_type": GROUP,
    "model_attributes_type": GROUP,
    "string_type": "should be text",
    "bool_type": "should be true or false",
}


@dataclass(frozen=True)
class Problem:
    """One mistake: where it is, what is wrong, and what is allowed there."""

    key: Key
    wrong: str
    allowed: Sequence[str] = field(default=())
    given: str | None = None
    line: int | None = None  # for a mistake without a key

    def sentence(self, path: Path, lines: dict[Key, int]) -> str:
        key, line = self.key, self.line
        while key and line is None:
            line, key = lines.get(key), key[:-1]
        where = f"{path}:{line}" if line else str(path)
        hint = did_you_mean(self.given or "", map(str, self.allowed))
        choice = f" (allowed: {', '.join(map(str, self.allowed))})" if self.allowed else ""
        named = f"{'.'.join(map(str, self.key))}: " if self.key else ""
        return f"{where}: {named}{self.wrong}{choice}{hint}"


class ParamsError(ValueError):
    """One or more mistakes in a parameter file; `str()` gives one line for each."""

    def __init__(self, problems: Sequence[Problem], path: Path, lines: dict[Key, int]):
        self.problems = list(problems)
        super().__init__("\n".join(p.sentence(path, lines) for p in self.problems))


def problems_of(error: ValidationError, root: type[BaseModel], prefix: Key) -> list[Problem]:
    """pydantic's errors as problems, with the keys that the schema would have accepted. Mistyped keys come first, since
    they are the reason why other keys are missing."""
    found: dict[tuple[Key, str], Problem] = {}
    for e in sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden"):
        if e["type"] == "too_short" and e["input"]:
            continue  # pydantic does not count refused members, which have their own sentences
        problem = _problem(e, root, prefix)
        found.setdefault((problem.key, problem.wrong), problem)
    return list(found.values())


def _problem(e: ErrorDetails, root: type[BaseModel], prefix: Key) -> Problem:
    """One of pydantic's errors as a problem."""
    tags = DATA_KINDS  # pydantic inserts the chosen union member into the path; the file has no such key
    chosen = next((k for k in e["loc"][2:3] if e["loc"][0] == "data" and k in tags), None)
    key = e["loc"] if chosen is None else (*e["loc"][:2], *e["loc"][3:])
    by_fidelity = key[-1:] == ("value",)  # pydantic's tag for a parameter that may also be `fidelity`
    key = key[:-1] if by_fidelity else key
    shown, kind, given = (*prefix, *key), e["type"], e["input"]
    if "[key]" in shown and not isinstance(given, str):
        return Problem((*shown[:-2], str(given)), f"YAML reads this name as {given!r}, which is not text: put it in quotes")
    if kind == "string_pattern_mismatch" or "[key]" in shown:
        return Problem(tuple(k for k in shown if k != "[key]"), f"{given!r} is not a name: letters, digits, _ and . only")
    if kind == "extra_forbidden":
        known = sorted(set(_fields(root, key[:-1], chosen)))
        wrong = f"is not a parameter{f' of kind {chosen}' if chosen else ''}"
        if home := _home(root, key, prefix):
            wrong += f" here, but {'.'.join(map(str, home))} has one of this name"
        return Problem(shown, wrong, known, str(key[-1]))
    if kind == "missing" and isinstance(key[-1], int):  # a member of a list of fixed length
        return Problem(shown[:-1], f"has too few values: {_listed(given)}")
    if kind == "missing":
        return Problem(shown, "is missing")
    if kind == "union_tag_not_found":
        return Problem(shown, "needs `kind`", sorted(DATA_KINDS))
    if kind in ("literal_error", "union_tag_invalid"):
        expected = e["ctx"].get("expected") or e["ctx"].get("expected_tags")
        value = e["ctx"].get("tag", given)
        choices = expected.replace("'", "").replace(" or ", ", ").split(", ") + ["fidelity"] * by_fidelity
        shown = (*shown, "kind") if kind == "union_tag_invalid" else shown
        return Problem(shown, f"{value!r} is not allowed", choices, str(value))
    return Problem(shown, _refused(e))


def _refused(e: ErrorDetails) -> str:
    """What a value should have been, in terms of YAML."""
    kind, given = e["type"], e["input"]
    if kind == "too_short":
        return "is an empty list: it needs at least 1 value"
    if kind == "too_long":
        return f"has too many values, {len(given)}: at most {e['ctx']['max_length']} are allowed"
    message = WANTED.get(kind) or e["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return f"{message}, and is left empty" if given is None else f"{message}, not {_listed(given)}"


def _listed(value: object) -> str:
    """A value as params.yaml would write it; Python would write a list as a tuple."""
    return f"[{', '.join(map(_listed, value))}]" if isinstance(value, tuple | list) else repr(value)


def _fields(model: type[BaseModel], at: Key, chosen: str | None) -> list[str]:
    """Names of the parameters that the schema has in the group at this key, for the chosen kind of data set if any."""
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
    groups = [kind.model_fields for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [name for group in groups if chosen is None or chosen in get_args(group["kind"].annotation) for name in group]


def _home(root: type[BaseModel], key: Key, prefix: Key) -> Key | None:
    """The group with a parameter of this name that is nearest to where the key stands, if there is exactly one.

    The search stays inside the key's part of params.yaml (`pretrain`, a row of `models.trained`, …): the same name elsewhere
    is another parameter.
    """
    for end in range(len(key) - 1, -1 if prefix else 0, -1):
        if homes := _homes(root, key[:end], key[-1]):
            return (*prefix, *homes[0]) if len(homes) == 1 and homes[0] != key[:-1] else None
    return None


def _homes(root: type[BaseModel], at: Key, name: str | int) -> list[Key]:
    """The groups at and below this key that have a parameter of this name."""
    known = _fields(root, at, None)
    below = [home for step in known for home in _homes(root, (*at, step), name)]
    return [at, *below] if name in known else below


def _alternatives(annotation: object) -> list[object]:
    """The members of a union or of an Annotated type, flattened."""
    if hasattr(annotation, "__metadata__"):
        return _alternatives(annotation.__origin__)
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [a for arg in get_args(annotation) for a in _alternatives(arg)]
    return [annotation]
