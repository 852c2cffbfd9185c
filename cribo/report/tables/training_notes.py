"""Notes below a table: where the training of the models behind its values differs from the paper's."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cribo.report.experiment.photos import PUBLISHED
from cribo.report.paper.settings import Stated, of_training

FEW = 4  # models that a note names; it only counts the others


def training_notes(models: dict[str, dict], compared: Iterable[str]) -> tuple[str, ...]:
    """Which settings differ between the training of the `compared` models and that of the paper's: one note, or none.

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
    """Which of these models are not compared with the paper because they saw other photos: one note per number of photos."""
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
    """The paper's settings, restricted to those that this model has."""
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
