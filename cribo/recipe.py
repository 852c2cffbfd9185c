"""Recipes: named experiments as overlays of recipes/demo.yaml.

    python -m cribo.recipe list          every recipe with its first sentence
    python -m cribo.recipe show NAME     what it is, expected time, hardware and score, and the keys that it sets
    python -m cribo.recipe use NAME      write params.yaml, show what changed; edits are kept as params.yaml.before
    python -m cribo.recipe diff NAME     every key whose value in params.yaml differs from the recipe's

A recipe opens with comments for the reader, then holds only the keys that differ from the demo. `data`, `models.trained` and
`models.imported` are lists of named things and are replaced whole; every other group is merged key by key. `grids` stand for
the many models of an ablation table (recipe_grid.py); `extends: NAME` starts from another recipe instead of the demo.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML

from cribo import params
from cribo.command import did_you_mean, explained, show_help
from cribo.params.errors import Key, Problem
from cribo.params.types import flat
from cribo.params.yaml_lines import parse_yaml, read_yaml
from cribo.recipe_grid import expand

RECIPES, TARGET, KEPT, BASE = Path("recipes"), Path("params.yaml"), Path("params.yaml.before"), "demo"
WRITTEN = "# Written by `python -m cribo.recipe use {}`.\n"
REPLACED = {("data",), ("models", "trained"), ("models", "imported")}


def overlay(base: dict, changes: dict, at: tuple[str, ...] = ()) -> None:
    """Apply `changes` to `base` in place, so that the comments and the order of `base` stay."""
    for key, value in changes.items():
        here = (*at, key)
        if here not in REPLACED and isinstance(value, dict) and isinstance(base.get(key), dict):
            overlay(base[key], value, here)
        else:
            base[key] = value


def path_of(name: str) -> Path:
    """The file of a recipe. Raises ValueError, with the name that was probably meant, if there is no such recipe."""
    known = names()
    if not known:
        raise ValueError(f"there is no {RECIPES}/ here: run it from the folder that holds {RECIPES}/")
    if name not in known:
        raise ValueError(f"no recipe {name} in {RECIPES}/ ({', '.join(known)}){did_you_mean(name, known)}")
    return RECIPES / f"{name}.yaml"


def names() -> list[str]:
    """All recipes, the demo first."""
    return sorted((p.stem for p in RECIPES.glob("*.yaml")), key=lambda name: (name != BASE, name))


def text_of(name: str) -> str:
    """The text of the params.yaml that a recipe gives. Raises ParamsError if it is not valid."""
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 160, True
    text = path_of(BASE).read_text()
    if name != BASE:
        tree = yaml.load(text)
        for path, changes in chain(name):
            overlay(tree, _expanded(path, changes))
        buffer = StringIO()
        yaml.dump(tree, buffer)
        text = WRITTEN.format(name) + buffer.getvalue()
    try:
        params.parse(text, path_of(name), numbered=name == BASE)
    except params.ParamsError as error:
        if name == BASE:
            raise
        raise params.ParamsError([_of_its_file(name, problem) for problem in error.problems], path_of(name), {}) from None
    return text


def _of_its_file(name: str, problem: Problem) -> Problem:
    """The problem, with the file that sets its key if that is not the recipe itself but one that it starts from."""
    base = path_of(BASE), read_yaml(path_of(BASE))[0]
    has = [path for path, changes in (base, *chain(name)) if _sets(changes, problem.key)]
    if not has or has[-1] == path_of(name):
        return problem
    return replace(problem, wrong=f"{problem.wrong} ({has[-1]} says so: set it here)")


def _sets(tree: object, key: Key) -> bool:
    """Whether a file has a key, or a value in place of a group that would hold it."""
    for step in key:
        if not isinstance(tree, dict):
            return True
        if step not in tree:
            return False
        tree = tree[step]
    return True


def _expanded(path: Path, changes: dict) -> dict:
    try:
        return expand(changes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def chain(name: str) -> list[tuple[Path, dict]]:
    """The overlays that make up a recipe, with their files: first the one closest to the demo, last the recipe's own."""
    overlays: list[tuple[Path, dict]] = []
    seen = [BASE]
    while name not in seen:
        seen.append(name)
        path = path_of(name)
        changes, _ = read_yaml(path)
        name = str(changes.pop("extends", BASE))
        overlays.insert(0, (path, changes))
    if name != BASE:
        raise ValueError(f"recipes/{name}.yaml extends itself: {' -> '.join([*seen[1:], name])}")
    return overlays


def about(name: str) -> str:
    """The first sentence of the comment that opens a recipe."""
    opening = itertools.takewhile(lambda line: line.startswith("#"), path_of(name).read_text().splitlines())
    comment = " ".join(line.lstrip("# ") for line in opening)
    return re.split(r"(?<=[.!?])(?<!Eq\.)(?<!App\.) (?=[A-Z0-9])", comment)[0] or "(no comment says what it is)"


def is_edited(text: str) -> bool:
    """Whether a params.yaml differs from what the recipe that wrote it gives."""
    opening = re.match(WRITTEN.format(r"(\S+)"), text)
    try:
        return text != text_of(opening[1] if opening else BASE)
    except ValueError:  # its recipe is gone, or no longer a valid one
        return True


def _shown(tree: dict, key: str) -> str:
    return json.dumps(tree[key], ensure_ascii=False, default=str) if key in tree else "not there"


def main(arguments: list[str]) -> None:
    match arguments:
        case ["list"]:
            path_of(BASE)  # explains if there are no recipes
            width = max(map(len, names()))
            for name in names():
                print(f"{name:{width}}  {about(name)}")
        case ["show", name]:
            print(path_of(name).read_text(), end="")
        case ["use", name]:
            before, after = TARGET.read_text() if TARGET.exists() else "", text_of(name)
            if before and before != after and is_edited(before):
                KEPT.write_text(before)
                print(f"{TARGET} had edits that no recipe gives: it is kept as {KEPT}", file=sys.stderr)
            TARGET.write_text(after)
            old, new = before.splitlines(True), after.splitlines(True)
            sys.stdout.writelines(difflib.unified_diff(old, new, "before", f"{TARGET} ({name})", n=0))
        case ["diff", name]:
            theirs, ours = flat(parse_yaml(text_of(name), path_of(name))[0]), flat(read_yaml(TARGET)[0])
            keys = dict.fromkeys((*theirs, *ours))
            others = [key for key in keys if key not in theirs or key not in ours or ours[key] != theirs[key]]
            for key in others:
                print(f"{key}: {_shown(ours, key)} ({name}: {_shown(theirs, key)})")
            print(f"values of {TARGET} that recipe {name} has otherwise, or not at all: {len(others)}", file=sys.stderr)
        case _:
            show_help(arguments, __doc__)
            sys.exit(__doc__)


if __name__ == "__main__":
    with explained():
        main(sys.argv[1:])
