"""Values of params.yaml that are legal alone and impossible together."""

from __future__ import annotations

from collections.abc import Iterator

from cribo.model.architectures import BACKBONES
from cribo.params import Params, Trained, needs_bank, needs_objects
from cribo.params_errors import Key, Problem


def contradictions(params: Params) -> Iterator[Problem]:
    """Every one of them, each once, at the key that the file really has."""
    yield from _names(params)
    yield from _decoders(params)
    seen = set()
    for name, model in params.trained.items():
        for key, wrong in _shapes(model):
            place = _place(params, name, key)
            if (place, wrong) not in seen:
                seen.add((place, wrong))
                yield Problem(place, wrong)


def _place(params: Params, name: str, key: Key) -> Key:
    """Where the value of a model comes from: its own overlay, or what all models share."""
    own = params.models.trained[name]
    for step in key:
        if not isinstance(own, dict) or step not in own:
            return ("pretrain", *key)
        own = own[step]
    return ("models", "trained", name, *key)


def _names(params: Params) -> Iterator[Problem]:
    """Models and data sets that are named and not there."""
    known = {*params.models.trained, *params.models.imported}
    for name in sorted(set(params.models.trained) & set(params.models.imported)):
        yield Problem(("models", "imported", name), f"{name} is a trained model too: every model needs its own name")
    for name in params.evaluate.models:
        if name not in known:
            yield Problem(("evaluate", "models"), f"{name} is no model", sorted(known), name)
    reference = params.report.reference
    if reference not in params.evaluate.models:
        yield Problem(("report", "reference"), f"{reference} is not evaluated", params.evaluate.models, reference)
    for name in params.evaluate.dense_nn.datasets:
        if name not in params.data:
            yield Problem(("evaluate", "dense_nn", "datasets"), f"{name} is no data set", sorted(params.data), name)
    for name, model in params.trained.items():
        if model.dataset not in params.data:
            key = ("models", "trained", name, "dataset")
            yield Problem(key, f"{model.dataset} is no data set", sorted(params.data), model.dataset)


def _decoders(params: Params) -> Iterator[Problem]:
    """Segmentation settings that do not fit together, or not the encoders that are judged."""
    models = {**params.trained, **params.models.imported}
    patches = {name: BACKBONES[m.backbone].patch_size for name, m in models.items() if m.backbone in BACKBONES}
    for protocol in ("linear_segmentation", "segmenter"):
        block = getattr(params.evaluate, protocol)
        for name, own in block.datasets.items():
            at = ("evaluate", protocol, "datasets", name)
            if name not in params.data:
                yield Problem(at, f"{name} is no data set", sorted(params.data), name)
            p = block.on(name)
            if p.stride > p.window:
                key = (*at, "stride") if "stride" in own else ("evaluate", protocol, "stride")
                yield Problem(key, f"windows of {p.window} px every {p.stride} px leave pixels out: lower stride")
            for key in ("crop", "window"):
                side = getattr(p, key)
                if wrong := [m for m in params.evaluate.models if m in patches and side % patches[m]]:
                    place = (*at, key) if key in own else ("evaluate", protocol, key)
                    yield Problem(place, f"{side} px is no multiple of {wrong[0]}'s {patches[wrong[0]]} px patch")


def _shapes(p: Trained) -> Iterator[tuple[Key, str]]:
    """Sizes of one model that do not fit together: key below `pretrain`, and what is wrong."""
    patch, side, o = BACKBONES[p.backbone].patch_size, p.views.size, p.optimisation
    tokens = 2 * (side // patch) ** 2
    if side % patch:
        yield ("views", "size"), f"{side} px is no multiple of {p.backbone}'s {patch} px patch"
    for group, warmup in (("optimisation", o.warmup_epochs), ("targets", p.targets.warmup_epochs)):
        if warmup > o.epochs:
            yield (group, "warmup_epochs"), f"{warmup} epochs of warm-up do not fit in {o.epochs} epochs"
    if needs_objects(p):
        if tokens < p.clustering.K:
            yield (
                ("clustering", "K"),
                f"{p.clustering.K} clusters need as many tokens, and two views of {side} px have {tokens}: "
                "lower K or raise views.size",
            )
        yield from _groups(("clustering", "normalise_images"), p.clustering.normalise_images, o.batch_size)
    if needs_bank(p):
        if p.memory_bank.images < o.batch_size:
            yield (
                ("memory_bank", "images"),
                f"the bank holds {p.memory_bank.images} images and a batch has {o.batch_size}: "
                "it must hold at least one batch",
            )
        yield from _groups(("matching", "pool_images"), p.matching.pool_images, o.batch_size)


def _groups(key: Key, size: int, batch: int) -> Iterator[tuple[Key, str]]:
    if batch % size:
        yield key, f"a batch of {batch} images cannot be split into groups of {size}"
