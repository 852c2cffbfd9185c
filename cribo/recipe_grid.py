"""Grids: the many models of an ablation table, written as the few values in which they differ.

    grids:
      - name: "K{clustering.K}_S{memory_bank.images}"    # of each model; {key} stands for its value
        row: "K = {clustering.K}"                        # label in the table, by default the name
        base: {dataset: scenes, memory_bank: {images: 500}}
        values: {clustering.K: [4, 8], seed: [0, 1]}     # every combination is a model

A grid only adds models: to `models.trained`, and to `evaluate.models` after those listed there. Where sweeps of several
grids cross, the model has one name and is trained once.
"""

from __future__ import annotations

import itertools
import re

from cribo.params import merged

KEYS = {"name", "row", "base", "values"}


def expand(recipe: dict) -> dict:
    """The recipe with its grids written out. Raises ValueError with a sentence if one of them cannot be."""
    recipe = dict(recipe)
    models: dict[str, dict] = {}
    for number, grid in enumerate(_list(recipe.pop("grids", []), "grids"), start=1):
        _check(grid, f"grid {number}")
        for name, model in _models(grid):
            if models.setdefault(name, model) != model:
                raise ValueError(f"two different models are called {name}: put what they differ in into the grid's `name`")
    if not models:
        return recipe
    for key in ("models", "evaluate"):
        if not isinstance(recipe.get(key, {}), dict):
            raise ValueError(f"{key} should be a group of keys, not {recipe[key]!r}")
    trained = recipe.get("models", {}).get("trained", {})
    if both := sorted(set(trained) & set(models)):
        raise ValueError(f"{both[0]} is in models.trained and in a grid: every model needs its own name")
    named = recipe.get("evaluate", {}).get("models", [])
    return merged(recipe, {"models": {"trained": {**trained, **models}}, "evaluate": {"models": [*named, *models]}})


def _check(grid: object, where: str) -> None:
    """Raise ValueError if a grid does not have the form shown at the top of this file."""
    if not isinstance(grid, dict):
        raise ValueError(f"{where}: should be a group of keys ({', '.join(sorted(KEYS))}), not {grid!r}")
    if wrong := (set(grid) ^ KEYS) - {"row"}:
        raise ValueError(f"{where}: {min(map(str, wrong))} is unknown or missing: a grid has {', '.join(sorted(KEYS))}")
    for key in ("base", "values"):
        if not isinstance(grid[key], dict):
            raise ValueError(f"{where}: {key} should be a group of keys, not {grid[key]!r}")
    for key in {"name", "row"} & set(grid):
        if not isinstance(grid[key], str):
            raise ValueError(f"{where}: {key} should be text, not {grid[key]!r}")
    for key, values in grid["values"].items():
        _list(values, f"{where}: values.{key}")


def _list(given: object, where: str) -> list:
    if not isinstance(given, list):
        raise ValueError(f"{where} should be a list, not {given!r}")
    return given


def _models(grid: dict) -> list[tuple[str, dict]]:
    """Name and overlay of each combination."""
    found = []
    for values in itertools.product(*grid["values"].values()):
        model = dict(grid["base"])
        for key, value in zip(grid["values"], values, strict=True):
            for part in reversed(str(key).split(".")):
                value = {part: value}
            model = merged(model, value)
        row = {"row": _filled(grid["row"], model)} if "row" in grid else {}
        found.append((_filled(grid["name"], model), {**model, **row}))
    return found


def _filled(template: str, model: dict) -> str:
    return re.sub(r"\{([\w.]+)\}", lambda match: str(_value(model, match[1])), template)


def _value(model: dict, key: str) -> object:
    value: object = model
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ValueError(f"a grid's name or row speaks of {key}, which is neither in its `base` nor in its `values`")
        value = value[part]
    return "_".join(map(str, value)) if isinstance(value, list | tuple) else value
