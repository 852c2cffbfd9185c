"""Protocols: image sizes and decoder settings that do not fit together, or do not fit the encoders that are judged."""

from __future__ import annotations

from collections.abc import Iterator

from cribo.model.architectures import BACKBONES
from cribo.params.errors import Problem
from cribo.params.schema import Params


def problems(params: Params) -> Iterator[Problem]:
    """Each problem at the key that sets the value: in the protocol's block, or in a data set's overlay."""
    yield from _inputs(params)
    yield from _decoders(params)


def _inputs(params: Params) -> Iterator[Problem]:
    """Image sizes that a protocol or an evaluated model cannot take."""
    evaluate, models = params.evaluate, {**params.trained, **params.models.imported}
    sizes = [("knn", "crop", evaluate.knn.crop), ("hummingbird", "size", evaluate.hummingbird.size)]
    sizes += [("yolos", "grid", side) for side in sorted(set(evaluate.yolos.grid))]
    for protocol, key, size in sizes:
        backbones = {models[name].backbone for name in evaluate.judged(protocol) if name in models}
        for name in sorted(backbones & set(BACKBONES)):
            if size % BACKBONES[name].patch_size:
                wrong = f"{size} px is not a multiple of {name}'s {BACKBONES[name].patch_size} px patch"
                yield Problem(("evaluate", protocol, key), wrong)
    if evaluate.knn.crop > evaluate.knn.short_side:
        wrong = (
            f"a crop of {evaluate.knn.crop} px does not fit into a shorter side of {evaluate.knn.short_side} px: lower it"
        )
        yield Problem(("evaluate", "knn", "crop"), wrong)


def _decoders(params: Params) -> Iterator[Problem]:
    """Segmentation settings that do not fit together, or do not fit the encoders that are judged."""
    models = {**params.trained, **params.models.imported}
    own = {name: BACKBONES[m.backbone] for name, m in models.items() if m.backbone in BACKBONES}
    for protocol in ("linear_segmentation", "segmenter"):
        block = getattr(params.evaluate, protocol)
        for name, overlay in block.datasets.items():
            at = ("evaluate", protocol, "datasets", name)
            p = block.on(name)
            if p.stride > p.window:
                key = (*at, "stride") if "stride" in overlay else ("evaluate", protocol, "stride")
                yield Problem(key, f"windows of {p.window} px every {p.stride} px leave pixels out: lower stride")
            for key in ("crop", "window"):
                side = getattr(p, key)
                if wrong := [m for m in block.models if m in own and side % own[m].patch_size]:
                    place = (*at, key) if key in overlay else ("evaluate", protocol, key)
                    yield Problem(place, f"{side} px is not a multiple of {wrong[0]}'s {own[wrong[0]].patch_size} px patch")

    most = max(params.evaluate.linear_segmentation.layers)
    if flat := [name for name in params.evaluate.linear_segmentation.models if name in own and own[name].depth < most]:
        wrong = f"{flat[0]} has {own[flat[0]].depth} blocks, and the last {most} are asked for: lower it"
        yield Problem(("evaluate", "linear_segmentation", "layers"), wrong)
