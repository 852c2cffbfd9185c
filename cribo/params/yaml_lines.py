"""YAML as this project reads it: with the line of each key, and no key given twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from cribo.params.errors import Key, ParamsError, Problem


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-5 and 1.5e3 as strings; here they are numbers, as they are for DVC."""


_Loader.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> tuple[dict, dict[Key, int]]:
    """The tree in a YAML file and the line of each key.

    Raises:
        ParamsError: the file is missing, not YAML, not a mapping, gives a key twice, or contains itself.
    """
    return parse_yaml(read_text(path), path)


def read_text(path: Path) -> str:
    """The text of a file. Raises ParamsError if it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ParamsError([Problem((), "is not UTF-8: save it as UTF-8", line=line)], path, {}) from None
    except OSError as error:
        raise ParamsError(
            [Problem((), f"cannot be read ({error.strerror}): run from the folder that holds it")], path, {}
        ) from None


def parse_yaml(text: str, path: Path) -> tuple[dict, dict[Key, int]]:
    """`read_yaml` for a given text; `path` is for messages."""
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
        raise ParamsError([_no_yaml(error)], path, {}) from None
    except RecursionError:
        raise ParamsError([Problem((), "holds a list or group inside itself: leave the alias (*) out")], path, {}) from None
    except ParamsError:
        raise
    except ValueError as error:  # from a date that does not exist
        wrong = f"holds what YAML cannot read ({error}): correct it, or put it in quotes"
        raise ParamsError([Problem((), wrong)], path, {}) from None


def _no_yaml(error: yaml.YAMLError) -> Problem:
    """A problem for what PyYAML could not read, at the line where it gave up."""
    mark = getattr(error, "problem_mark", None)
    wrong = "is not valid YAML here or just above: correct brackets, quotes, colons or indentation"
    if "'\\t'" in (getattr(error, "problem", None) or ""):
        wrong = "has a tab, which YAML does not take as indentation: put spaces in its place"
    return Problem((), wrong, line=mark.line + 1 if mark else None)


def _walk(node: yaml.Node, at: Key, lines: dict[Key, int]) -> Iterator[Key]:
    """Record the line of each key and of each list member; yield the keys that are given twice."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):  # a list or a group cannot be a key
                raise yaml.constructor.ConstructorError(problem="found no name", problem_mark=key.start_mark)
            here = (*at, key.value)
            if here in lines:
                yield here
            lines[here] = key.start_mark.line + 1
            yield from _walk(value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*at, i)] = value.start_mark.line + 1
            yield from _walk(value, (*at, i), lines)
