"""Training of a model: sizes that do not fit together, and masks that its photos lack."""

from __future__ import annotations

from collections.abc import Iterator

from cribo.model.architectures import BACKBONES
from cribo.params.checks.names import repeated
from cribo.params.checks.photos import has_masks
from cribo.params.data import SCENE_CLASSES, Photos, Scenes
from cribo.params.errors import Key, Problem
from cribo.params.pretrain import is_mae, needs_bank, needs_masks, needs_objects
from cribo.params.schema import Params, Trained

METHODS = {"DINO": ("global",), "MAE": ("pixels",)}  # losses of the baselines


def problems(params: Params) -> Iterator[Problem]:
    """Each problem once: one in a value that all models share is not repeated per model."""
    yield from _oracles(params)
    seen = set()
    for name, model in params.trained.items():
        for key, wrong in (*_shapes(model), *_on_scenes(model, params.data.get(model.dataset))):
            place = _place(params, name, key)
            if (place, wrong) not in seen:
                seen.add((place, wrong))
                yield Problem(place, wrong)


def _place(params: Params, name: str, key: Key) -> Key:
    """The key that a model's value comes from: in its own overlay, or in `pretrain`, which all models share."""
    own = params.models.trained[name]
    for step in key:
        if not isinstance(own, dict) or step not in own:
            return ("pretrain", *key)
        own = own[step]
    return ("models", "trained", name, *key)


def _oracles(params: Params) -> Iterator[Problem]:
    """Models whose oracles read masks that their data set does not have."""
    for name, model in params.trained.items():
        spec = params.data.get(model.dataset)
        if spec is None or not needs_masks(model) or has_masks(spec, "train"):
            continue
        oracle = ("clustering", "algorithm") if model.clustering.algorithm == "labels" else ("matching", "criterion")
        wrong = f"labels reads masks, and {model.dataset}, from which {name} learns, has none"
        yield Problem(_place(params, name, oracle), wrong)


def _shapes(p: Trained) -> Iterator[tuple[Key, str]]:
    """Settings of one model that do not fit together: the key below `pretrain`, and what is wrong."""
    patch, side, o = BACKBONES[p.backbone].patch_size, p.views.size, p.optimisation
    tokens = 2 * (side // patch) ** 2
    if again := repeated(p.losses):
        yield ("losses",), f"names {again} twice: keep one"
    if p.losses != METHODS.get(p.method, p.losses):
        yield ("method",), f"{p.method} is losses: [{METHODS[p.method][0]}] alone: leave method out, or change losses"
    if side % patch:
        yield ("views", "size"), f"{side} px is not a multiple of {p.backbone}'s {patch} px patch"
    for group, warmup in (("optimisation", o.warmup_epochs), ("targets", p.targets.warmup_epochs)):
        if warmup > o.epochs:
            yield (group, "warmup_epochs"), f"{warmup} epochs of warm-up do not fit in {o.epochs} epochs"
    peak = o.base_lr * o.batch_size / 256
    if o.min_lr > peak:
        wrong = f"the learning rate would rise to {o.min_lr:g} at the end from its peak of {peak:g}: lower it"
        yield ("optimisation", "min_lr"), wrong
    if not is_mae(p) and p.head.freeze_epochs >= o.epochs:
        wrong = f"in {o.epochs} epochs the prototypes would stay as drawn to the end: lower it below {o.epochs}"
        yield ("head", "freeze_epochs"), wrong
    if p.views.local.count:
        if p.losses != ("global",):
            yield ("views", "local", "count"), "local crops are DINO's and go with losses: [global] alone: set it to 0"
        if p.views.local.size % patch:
            yield ("views", "local", "size"), f"{p.views.local.size} px is not a multiple of {p.backbone}'s {patch} px patch"
    if is_mae(p):
        if len(p.losses) > 1:
            yield ("losses",), "pixels is MAE's and stands alone: its network has neither teacher nor head"
        if int(tokens // 2 * (1 - p.mae.mask)) < 1:
            yield ("mae", "mask"), f"of {tokens // 2} patches none is seen when {p.mae.mask:g} are masked: lower it"
        if p.mae.decoder.width % p.mae.decoder.heads:
            yield ("mae", "decoder"), f"a width of {p.mae.decoder.width} cannot be split over {p.mae.decoder.heads} heads"
    if needs_objects(p):
        if tokens < p.clustering.K and p.clustering.algorithm != "labels":
            yield (
                ("clustering", "K"),
                f"{p.clustering.K} clusters need as many tokens, and two views of {side} px have {tokens}: "
                "lower K or raise views.size",
            )
        if p.clustering.algorithm == "sinkhorn":
            yield from _groups(("clustering", "normalise_images"), p.clustering.normalise_images, o.batch_size)
        yield from _groups(("targets", "mean_images"), p.targets.mean_images, o.batch_size)
    if needs_bank(p):
        if p.matching.first_epoch >= o.epochs:
            yield (
                ("matching", "first_epoch"),
                f"the cross-image loss starts with epoch {p.matching.first_epoch}, counted from 0, and training has "
                f"{o.epochs}: lower it, or leave cross_image out of losses",
            )
        if p.memory_bank.images < o.batch_size:
            yield (
                ("memory_bank", "images"),
                f"the bank holds {p.memory_bank.images} images and a batch has {o.batch_size}: "
                "it must hold at least one batch",
            )
        if p.matching.criterion == "cycle":
            yield from _groups(("matching", "pool_images"), p.matching.pool_images, o.batch_size)


def _on_scenes(p: Trained, spec: Scenes | Photos | None) -> Iterator[tuple[Key, str]]:
    """What params.yaml alone shows of a model on generated scenes: too few photos for a batch, or too few clusters."""
    if not isinstance(spec, Scenes):
        return
    batch, clustering = p.optimisation.batch_size, p.clustering
    if batch > spec.train:
        yield (
            ("optimisation", "batch_size"),
            f"{spec.train} training images in {p.dataset} do not fill one batch of {batch}: lower it",
        )
    if needs_objects(p) and clustering.algorithm == "labels" and clustering.K < SCENE_CLASSES:
        yield (
            ("clustering", "K"),
            f"{clustering.K} clusters are too few for labels, one for each of the {SCENE_CLASSES} classes of {p.dataset}: "
            f"raise it to {SCENE_CLASSES}",
        )


def _groups(key: Key, size: int, batch: int) -> Iterator[tuple[Key, str]]:
    if batch % size:
        yield key, f"a batch of {batch} images cannot be split into groups of {size}"
