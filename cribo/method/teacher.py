"""The first half of a step: the teacher determines the objects, their representations and their neighbours."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor

from cribo.method.clustering import ClusteringSettings, joint_space_clustering
from cribo.method.health import neighbour_signals, object_signals
from cribo.method.kmeans import KMeansSettings, kmeans
from cribo.method.matching import accept
from cribo.method.memory_bank import MemoryBank, Neighbours, Search, ages, push, retrieve
from cribo.method.objects import pool_objects, seen_in_both
from cribo.method.oracle import LabelSettings, label_clusters, object_classes, same_classes
from cribo.method.sharded_bank import ShardedBank, push_sharded, retrieve_sharded
from cribo.method.step import StepSettings, Teaching
from cribo.method.world import World


@torch.no_grad()
def teacher_step(
    teacher,
    images: Float[Tensor, "2B 3 H W"],
    positions: Float[Tensor, "B 2N 2"],
    seeds: Int[Tensor, "B K"],
    image_ids: Int[Tensor, " B"],
    bank: MemoryBank | ShardedBank | None,
    cross_image: bool,
    settings: StepSettings,
    world: World,
    classes: UInt8[Tensor, "B 2N"] | None = None,
    at_once: int | None = None,
) -> Teaching:
    """Compute clusters, objects, neighbours and targets of a batch; then add its objects to the memory bank.

    `cross_image` says whether that loss is on in this epoch; while it is off, nothing is retrieved. `classes` of the patches
    are needed only by the oracles. `at_once` limits how many of this process's images are encoded and clustered at a time;
    it saves memory and does not change the result.
    """
    at_once = at_once or len(image_ids)
    encoded = [teacher.tokens(part.flatten(0, 1)) for part in images.unflatten(0, (2, -1)).split(at_once, dim=1)]
    cls, patches = _joined([cls for cls, _ in encoded], 1), _joined([patches for _, patches in encoded], 0)
    labels = valid = objects = neighbours = accepted = None
    health: dict[str, Tensor] = {}
    if settings.clustering:
        labels = _cluster(patches, positions, seeds, classes, settings, world, at_once)
        objects, valid = pool_objects(patches, labels, settings.K), seen_in_both(labels, settings.K)
        health |= object_signals(labels, valid)
    if bank is not None:
        known = object_classes(labels, classes, settings.K) if settings.criterion == "labels" else None
        batch = _gathered(objects, valid, image_ids, known, world)
        if cross_image:
            found = _retrieve(bank, batch, settings.exclude_same_image, _search(teacher, settings.fused))
            accepted = accept(
                objects, valid, found.partners, found.found, settings.criterion, settings.pool_images,
                None if known is None else same_classes(known, found.classes), world, (batch.objects, batch.valid),
            )  # fmt: skip
            neighbours = found.objects
            health |= neighbour_signals(accepted, found.found, ages(bank, found.slots, len(valid) * world.size))
        add = push_sharded if isinstance(bank, ShardedBank) else push
        add(bank, batch.objects, batch.valid, batch.image_ids, batch.classes)
    projected = teacher.project(cls, objects)
    return Teaching(
        images=projected.images,
        objects=projected.objects,
        neighbours=None if neighbours is None else teacher.bottleneck(neighbours),
        labels=labels,
        valid=valid,
        accepted=accepted,
        image_prototypes=projected.image_prototypes,
        object_prototypes=projected.object_prototypes,
        health=health,
    )


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    """The parts in one tensor; a single part as it is, not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


class _Gathered(NamedTuple):
    """The teacher's objects of all processes' images, and which images belong to this process."""

    objects: Float[Tensor, "2 G K d"]
    valid: Bool[Tensor, "G K"]
    image_ids: Int[Tensor, " G"]
    classes: Int64[Tensor, "G K W"] | None
    ours: slice


def _gathered(objects: Tensor, valid: Tensor, image_ids: Tensor, classes: Tensor | None, world: World) -> _Gathered:
    """Gather the new objects of all processes, the only such exchange in a step."""
    if world.size == 1:
        return _Gathered(objects, valid, image_ids, classes, slice(None))
    share = len(image_ids)
    ours = slice(world.rank * share, (world.rank + 1) * share)
    sent = [objects, valid, image_ids, *([] if classes is None else [classes])]
    objects, valid, image_ids, *rest = world.gather_all(sent, [1, 0, 0, 0][: len(sent)])
    return _Gathered(objects, valid, image_ids, rest[0] if rest else None, ours)


def _search(teacher, fused: bool) -> Search:
    """How to search the bank: rounded only on a GPU whose backbone runs in bf16 too; a CPU gains nothing from rounding."""
    if not (teacher.bf16 and next(teacher.parameters()).is_cuda):
        return "fp32"
    return "fused" if fused else "half"


def _retrieve(bank: MemoryBank | ShardedBank, batch: _Gathered, exclude_same_image: bool, search: Search) -> Neighbours:
    """Neighbours of this process's objects, from its own bank or from one spread over all processes."""
    ids = batch.image_ids if exclude_same_image else None
    if isinstance(bank, ShardedBank):
        return retrieve_sharded(bank, batch.objects, batch.valid, batch.ours, ids, search)
    ours = batch.ours
    return retrieve(bank, batch.objects[:, ours], batch.valid[ours], None if ids is None else ids[ours], search=search)


def _cluster(patches, positions, seeds, classes, settings, world: World, at_once: int) -> Int[Tensor, "B 2N"]:
    """Labels of all tokens of both views, by Sinkhorn (the paper), K-means (Table 12) or the masks (Table 11)."""
    match how := settings.clustering:
        case ClusteringSettings(normalise_images=group):
            parts = (x.split(-(-at_once // group) * group) for x in (patches, positions, seeds))
            rest = how, world, settings.fused
            return torch.cat([joint_space_clustering(*part, *rest) for part in zip(*parts, strict=True)])
        case KMeansSettings():
            return kmeans(patches, seeds, how)
        case LabelSettings():
            return label_clusters(classes, how.K)
