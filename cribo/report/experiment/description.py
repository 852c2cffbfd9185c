"""Describe an experiment: parameters beside the paper's, departures in force, cost of each stage, versions and hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import yaml

from cribo import params, plan, recipe
from cribo.fidelity import in_force
from cribo.params.types import flat
from cribo.report.experiment.results import Results, as_result, read_as

PAPER_RECIPES = {"vit_base_16": "paper-vitb16-in1k", "vit_small_8": "paper-vits8-coco"}  # others: by data set
DEFAULT_RECIPE = {"imagenet": "paper-vits16-in1k"}


def paper_recipe(settings: dict) -> str:
    """The recipe of the paper's model that is closest to a model of ours."""
    return PAPER_RECIPES.get(settings["backbone"]["name"]) or DEFAULT_RECIPE.get(settings["dataset"], "paper-vits16-coco")


def paper_settings(name: str) -> dict:
    """Settings of the recipe's model `cribo`, as results/plan/pretrain/ would hold them."""
    given = params.parse(recipe.text_of(name), Path(f"params.yaml as {name} makes it"))
    return plan.pretrain_settings(given.model("cribo"))


def beside_the_paper(trained: dict[str, dict], reference: dict) -> list[tuple[str, str, str]]:
    """List (key, ours, the paper's) where they differ; if our models differ from each other, each value names its models."""
    theirs, *each = (
        flat({**settings, "backbone": settings["backbone"]["name"]}) for settings in (reference, *trained.values())
    )
    own = dict(zip(trained, each, strict=True))
    rows = []
    for key in dict.fromkeys(key for tree in (theirs, *own.values()) for key in tree):
        if key in ("dataset", "seed"):
            continue
        values: dict[str, list[str]] = {}
        for name, tree in own.items():
            if key in tree:
                values.setdefault(_text(tree[key]), []).append(name)
        printed = _text(theirs[key]) if key in theirs else ""
        if values and set(values) != {printed}:
            one = len(values) == 1
            rows.append((key, "; ".join(v if one else f"{v} ({', '.join(names)})" for v, names in values.items()), printed))
    return rows


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | list | None) else str(value)


def departures(trained: dict[str, dict]) -> list[tuple[str, str]]:
    """List (models, departure from paper or released code), each departure once."""
    found: dict[str, list[str]] = {}
    for name, settings in trained.items():
        for departure in in_force(settings):
            found.setdefault(str(departure), []).append(name)
    return [(", ".join(names), what) for what, names in found.items()]


def costs(results: Results, trained: dict[str, dict], pretrained: Path) -> list[tuple]:
    """List (stage, seconds, peak memory in MiB, peak GPU memory in MiB, device and precision) of every recorded cost.

    `pretrained` is results/pretrain.
    """
    rows: list[tuple] = []
    for name in trained:
        path = pretrained / name / "cost.json"
        if path.exists():
            with read_as("cost of a training", path):
                rows.append(_cost(f"pretrain@{name}", json.loads(path.read_text(encoding="utf-8"))))
    for cell, tree in results.items():
        with as_result(cell):
            rows.append(_cost(f"{cell.protocol}@{cell.name}", tree["cost"]))
    return rows


def _cost(stage: str, cost: dict) -> tuple:
    where = ", ".join(cost[key] for key in ("device", "precision") if key in cost)
    return stage, float(cost["seconds"]), cost["peak_memory_mib"], cost.get("peak_gpu_memory_mib", ""), where


def per_class(results: Results) -> list[tuple[str, float]]:
    """List (label, IoU or AP in percent) of every result with classes; a label names protocol, model, data set and class."""
    rows = []
    for cell, tree in results.items():
        with as_result(cell):
            classes = tree.get("per_class", {})
            found = classes.get("patch", classes).items()
        rows += [(f"{cell.protocol} {cell.name}: {label}", v) for label, v in found if isinstance(v, int | float)]
    return rows


def versions(results: Results, trained: dict[str, dict]) -> list[tuple[str, str, str]]:
    """List (what, version or hash, which results carry it)."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell, tree in results.items():
        with as_result(cell):
            data = f"data set {cell.dataset}, sha256 of its content", tree["dataset_digest"]
            carried = *tree["versions"].items(), data
        for what in carried:
            found.setdefault(what, []).append(f"{cell.protocol}@{cell.name}")
    rows = [(what, number, _few(which)) for (what, number), which in sorted(found.items())]
    for name, settings in trained.items():
        digest = hashlib.sha256(yaml.safe_dump(settings, sort_keys=True).encode()).hexdigest()
        rows.append((f"settings of {name}, sha256", digest, f"pretrain@{name}"))
    return rows


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
