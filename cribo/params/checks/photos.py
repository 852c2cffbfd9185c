"""Data sets: missing masks, and photos used for both training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from cribo.params.data import Folder, Photos, Scenes, Unmasked, Voc
from cribo.params.errors import Problem
from cribo.params.evaluate import KINDS, PROTOCOLS
from cribo.params.schema import Params

MASKS = tuple(protocol for protocol in PROTOCOLS if protocol not in KINDS)  # need a mask for each image


def problems(params: Params) -> Iterator[Problem]:
    """Data sets that lack masks, or whose photos are used for both training and evaluation."""
    for name, spec in params.data.items():
        yield from problems_in(name, spec)
    yield from _masks(params)


def problems_in(name: str, spec: Scenes | Photos) -> Iterator[Problem]:
    """Problems of one data set: its val is its train, or only one of its masks and classes is given."""
    if isinstance(spec, Voc | Folder) and spec.train == spec.val:
        wrong = f"{spec.val} is train too, and no model is to be judged on photos that it learned from: name another"
        yield Problem(("data", name, "val"), wrong)
    if isinstance(spec, Folder) and (spec.masks is None) != (spec.classes is None):
        given, lacking = ("classes", "masks") if spec.masks is None else ("masks", "classes")
        yield Problem(("data", name, given), f"needs data.{name}.{lacking} too: what masks hold, and where they are")


def _masks(params: Params) -> Iterator[Problem]:
    """Data sets named by protocols that need masks which they do not have."""
    without = {name for name, spec in params.data.items() if not has_masks(spec)}
    for protocol in MASKS:
        for name in getattr(params.evaluate, protocol).datasets:
            if name in without:
                wrong = f"{name} has no masks, or none of its val images has one"
                yield Problem(("evaluate", protocol, "datasets"), wrong)


def has_masks(spec: Scenes | Photos, split: str = "val") -> bool:
    if isinstance(spec, Folder):
        return spec.masks is not None and getattr(spec, split) is not None
    return not isinstance(spec, Unmasked)
