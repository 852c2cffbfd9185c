"""Data sets: masks that are missing, and photos to learn from that judge as well."""

from __future__ import annotations

from collections.abc import Iterator

from cribo.params.data import Folder, Photos, Scenes, Unmasked, Voc
from cribo.params.errors import Problem
from cribo.params.evaluate import KINDS, PROTOCOLS
from cribo.params.schema import Params

MASKS = tuple(protocol for protocol in PROTOCOLS if protocol not in KINDS)  # a mask for each image


def problems(params: Params) -> Iterator[Problem]:
    """Data sets that lack masks, or judge on what they teach."""
    for name, spec in params.data.items():
        yield from problems_in(name, spec)
    yield from _masks(params)


def problems_in(name: str, spec: Scenes | Photos) -> Iterator[Problem]:
    """Of one data set: it judges on the photos from which models learn, or its masks and classes do not go together."""
    if isinstance(spec, Voc | Folder) and spec.train == spec.val:
        wrong = f"{spec.val} is train too, and no model is to be judged on photos that it learned from: name another"
        yield Problem(("data", name, "val"), wrong)
    if isinstance(spec, Folder) and (spec.masks is None) != (spec.classes is None):
        given, lacking = ("classes", "masks") if spec.masks is None else ("masks", "classes")
        yield Problem(("data", name, given), f"needs data.{name}.{lacking} too: what masks hold, and where they are")


def _masks(params: Params) -> Iterator[Problem]:
    """Data sets judged on masks that they do not have."""
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
