"""Notes below a table on how the models behind its values were trained, where that is not as the paper's were."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cribo.report.experiment.photos import PUBLISHED
from cribo.report.paper.settings import Stated, of_training

FEW = 4  # models that are named one by one


def training_notes(models: dict[str, dict], compared: Iterable[str]) -> tuple[str, ...]:
    """In which settings the `compared`, which stand beside values of the paper, were trained otherwise: one note, or none.

    `models` comes from `counterparts.models_of`.
    """
    said: dict[str, list[str]] = {}
    for name in dict.fromkeys(compared):
        if found := _differences(models[name]):
            said.setdefault(", ".join(found), []).append(name)
    listed = "; ".join(f"{_names(names)}: {what}" for what, names in said.items())
    if not listed:
        return ()
    return (
        f"Not trained as in the paper, whose settings, or those of the released code or of DINO, are in brackets. {listed}.",
    )


def photos_notes(models: dict[str, dict], names: Iterable[str]) -> tuple[str, ...]:
    """Which of these models have no value of the paper beside them because they saw other photos: one note a number."""
    said: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        if other := models[name]["other_photos"]:
            printed, seen = other
            what = f"{seen:,} photos an epoch, where the paper's model had the {PUBLISHED[printed]:,} of {printed}"
            said.setdefault(what, []).append(name)
    return tuple(f"Compared with nothing: {_names(names)} saw {what}." for what, names in said.items())


def _differences(model: dict) -> list[str]:
    settings = model["settings"]
    if settings is None or "mae" in settings:
        return []
    own = ((key, value, source, _at(settings, key)) for key, (value, source) in _stated(model).items())
    return [f"{key} {json.dumps(ours)} ({source}: {json.dumps(value)})" for key, value, source, ours in own if ours != value]


def _stated(model: dict) -> Stated:
    """Of what this model reads."""
    found = of_training(model["backbone"], model["pretrain_dataset"])
    return {key: about for key, about in found.items() if _at(model["settings"], key) is not None}


def _at(settings: dict, key: str) -> object:
    for step in key.split("."):
        if not isinstance(settings, dict) or step not in settings:
            return None
        settings = settings[step]
    return settings


def _names(names: list[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
