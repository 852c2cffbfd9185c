"""One step of CrIBo: the teacher says what the objects are and what they look like, the student predicts it (Eq. 11).

Two functions, in the order in which they run. Both take and return tensors; what they need of other processes (sums and
gathers over the whole batch) is handed in as `world`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cribo.method.clustering import ClusteringSettings, joint_space_clustering
from cribo.method.losses import mean_logits, soft_cross_entropy, update_centre
from cribo.method.matching import Pool, accept
from cribo.method.memory_bank import MemoryBank, Neighbours, push, retrieve
from cribo.method.objects import bootstrapping_ratio, pool_objects, seen_in_both
from cribo.method.sharded_bank import ShardedBank, push_sharded, retrieve_sharded


class World(Protocol):
    """The processes that share a batch, each with as many of its images. Alone, the calls give back what they get."""

    rank: int
    size: int

    def sum(self, x: Tensor) -> Tensor: ...

    def gather(self, x: Tensor, dim: int) -> Tensor: ...

    def gather_all(self, tensors: Sequence[Tensor], dims: Sequence[int]) -> list[Tensor]: ...


@dataclass(frozen=True)
class StepSettings:
    """What a step reads of `results/plan/pretrain/MODEL.yaml`."""

    losses: frozenset[Literal["global", "cross_view", "cross_image"]]
    clustering: ClusteringSettings | None
    criterion: Literal["cycle", "none"]
    pool_images: int
    student_temperature: float
    centre_momentum: float

    @property
    def K(self) -> int:
        return self.clustering.K if self.clustering else 0


@dataclass(frozen=True)
class Centres:
    """Running means of the teacher's logits, one for images and one for objects; updated in place."""

    images: Float[Tensor, " L"]
    objects: Float[Tensor, " L"]


@dataclass(frozen=True)
class Teaching:
    """What the teacher says of a batch, without gradient. Object fields are None when no loss reads objects."""

    images: Float[Tensor, "2 B h"] | None  # bottleneck of the CLS tokens
    objects: Float[Tensor, "2 B K h"] | None  # bottleneck of each object
    neighbours: Float[Tensor, "2 B K h"] | None  # bottleneck of nn(c_m); None while the cross-image loss is off
    labels: Int[Tensor, "B 2N"] | None
    valid: Bool[Tensor, "B K"] | None
    accepted: Bool[Tensor, "2 B K"] | None
    image_prototypes: Float[Tensor, "L h"] | None
    object_prototypes: Float[Tensor, "L h"] | None
    health: dict[str, Tensor]  # scalars worth watching, still on the device


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
    at_once: int | None = None,
) -> Teaching:
    """Clusters, objects, neighbours and targets of a batch; then the batch's objects enter the memory bank.

    `cross_image` says whether that loss is on in this epoch: while it is off nothing is retrieved. `at_once` bounds how many
    of this process's images are encoded and clustered at a time; it saves memory and changes nothing.
    """
    at_once = at_once or len(image_ids)
    encoded = [teacher.tokens(part.flatten(0, 1)) for part in images.unflatten(0, (2, -1)).split(at_once, dim=1)]
    cls, patches = torch.cat([cls for cls, _ in encoded], dim=1), torch.cat([patches for _, patches in encoded])
    labels = valid = objects = neighbours = accepted = None
    health: dict[str, Tensor] = {}
    if settings.clustering:
        group = settings.clustering.normalise_images
        parts = (x.split(-(-at_once // group) * group) for x in (patches, positions, seeds))
        labels = torch.cat([joint_space_clustering(*p, settings.clustering, world) for p in zip(*parts, strict=True)])
        objects, valid = pool_objects(patches, labels, settings.K), seen_in_both(labels, settings.K)
        live = torch.zeros_like(valid).scatter_(1, labels, True)
        health |= {"live_clusters": live.sum(1).float().mean(), "valid_objects": valid.sum(1).float().mean()}
    if bank is not None:
        batch = _whole_batch(objects, valid, image_ids, world)
        if cross_image:
            found = _retrieve(bank, objects, batch, world)
            pool = _wide_pool(batch, settings.pool_images, world)
            accepted = accept(objects, valid, found.partners, found.found, settings.criterion, settings.pool_images, pool)
            neighbours = found.objects
            health |= {f"bootstrapping_{m + 1}": bootstrapping_ratio(accepted[m]) for m in range(2)}
        if isinstance(bank, ShardedBank):
            push_sharded(bank, batch.objects, batch.valid, batch.image_ids, world)
        else:
            push(bank, batch.objects, batch.valid, batch.image_ids)
    projected = teacher.project(cls, objects)
    return Teaching(
        projected.images, projected.objects, None if neighbours is None else teacher.bottleneck(neighbours),
        labels, valid, accepted, projected.image_prototypes, projected.object_prototypes, health,
    )  # fmt: skip


class _Batch(NamedTuple):
    """The teacher's objects of all processes' images, and where those of this one begin and end."""

    objects: Float[Tensor, "2 G K d"]
    valid: Bool[Tensor, "G K"]
    image_ids: Int[Tensor, " G"]
    ours: slice


def _whole_batch(objects: Tensor, valid: Tensor, image_ids: Tensor, world: World) -> _Batch:
    """The one exchange of objects in a step."""
    if world.size == 1:
        return _Batch(objects, valid, image_ids, slice(None))
    share = len(image_ids)
    ours = slice(world.rank * share, (world.rank + 1) * share)
    return _Batch(*world.gather_all([objects, valid, image_ids], [1, 0, 0]), ours)


def _retrieve(bank: MemoryBank | ShardedBank, objects: Tensor, batch: _Batch, world: World) -> Neighbours:
    if isinstance(bank, ShardedBank):
        return retrieve_sharded(bank, batch.objects, batch.ours, world)
    return retrieve(bank, objects)


def _wide_pool(batch: _Batch, pool_images: int, world: World) -> Pool | None:
    """The pool of the cycle criterion when it is wider than this process's share of the batch."""
    if pool_images * world.size <= len(batch.image_ids):
        return None
    start = batch.ours.start // pool_images * pool_images
    near = slice(start, start + pool_images)
    return Pool(batch.objects[:, near], batch.valid[near], batch.ours.start - start)


@dataclass(frozen=True)
class Losses:
    """The sum of Eq. 11 over this process's images, scaled so that the mean over processes is the loss of the batch."""

    total: Float[Tensor, ""]
    terms: dict[str, Tensor]  # each loss of Eq. 11 alone, and the teacher's entropy, without gradient


def student_step(
    student,
    images: Float[Tensor, "2B 3 H W"],
    teaching: Teaching,
    centres: Centres,
    teacher_temperature: float,
    settings: StepSettings,
    world: World,
    part: slice = slice(None),
) -> Losses:
    """The losses of a batch: H(teacher's view m, student's other view), averaged over both directions.

    L_cv^g (Eq. 10) pairs CLS tokens, L_cv^o (Eq. 6) the same object in two views, L_ci^o (Eq. 8) the neighbour of view m's
    object with the object in the other view. Means are over all images, all valid objects and all accepted objects of the
    whole batch, whatever the number of processes. With `part`, only those of this process's images are looked at, and the
    sum over parts is the loss of the batch.
    """
    images = images.unflatten(0, (2, -1))[:, part].flatten(0, 1)
    projected = student(images, None if teaching.labels is None else teaching.labels[part], settings.K)
    temperatures = settings.student_temperature, teacher_temperature
    total, terms = images.new_zeros((), dtype=torch.float32), {}

    if "global" in settings.losses:
        targets = teaching.images[:, part].flatten(0, 1)[None]
        weights = targets.new_full(targets.shape[:2], 0.5 / teaching.images.shape[1])
        loss, _, entropy = soft_cross_entropy(
            _other_view(projected.images), projected.image_prototypes, targets,
            teaching.image_prototypes, centres.images, weights, *temperatures,
        )  # fmt: skip
        total = total + loss
        terms |= {"loss_global": loss.detach(), "entropy_images": entropy[0]}

    targets, weights, names = [], [], []
    if "cross_view" in settings.losses:
        targets.append(teaching.objects[:, part].flatten(0, 2))
        weights.append(_mean_weights(teaching.valid.expand(2, -1, -1), world)[:, part].flatten())
        names.append("cross_view")
    if teaching.neighbours is not None:
        targets.append(teaching.neighbours[:, part].flatten(0, 2))
        weights.append(_mean_weights(teaching.accepted, world)[:, part].flatten())
        names.append("cross_image")
    if targets:
        loss, parts, entropy = soft_cross_entropy(
            _other_view(projected.objects), projected.object_prototypes, torch.stack(targets),
            teaching.object_prototypes, centres.objects, torch.stack(weights), *temperatures,
        )  # fmt: skip
        total = total + loss
        terms |= {f"loss_{name}": part for name, part in zip(names, parts, strict=True)}
        terms["entropy_objects"] = entropy[0]
    return Losses(total, terms)


def _other_view(x: Float[Tensor, "2 B *K h"]) -> Float[Tensor, "n h"]:
    """Rows of view 2, then of view 1: row i stands opposite row i of the teacher's."""
    return x.flip(0).flatten(0, -2)


def _mean_weights(chosen: Bool[Tensor, "2 B K"], world: World) -> Float[Tensor, "2 B K"]:
    """½ / Z_m for each chosen object of view m, Z_m counted over the whole batch; zero for the others (Eqs. 6 and 8)."""
    chosen = chosen.float()
    z = world.sum(chosen.sum(dim=(1, 2))).clamp_min(1)
    return 0.5 * world.size * chosen / z[:, None, None]


@torch.no_grad()
def centres_step(teaching: Teaching, centres: Centres, settings: StepSettings, world: World) -> None:
    """Move the centres towards the mean logits of the batch's CLS tokens and valid objects (neighbours do not count)."""
    if teaching.images is not None:
        rows = teaching.images.flatten(0, 1)
        count = rows.new_full((), float(len(rows) * world.size))
        mean = mean_logits(world.sum(rows.sum(dim=0)), count, teaching.image_prototypes)
        update_centre(centres.images, mean, count, settings.centre_momentum)
    if teaching.objects is not None:
        valid = teaching.valid.float()
        count = world.sum(2 * valid.sum())
        mean = mean_logits(
            world.sum((teaching.objects * valid[..., None]).sum(dim=(0, 1, 2))), count, teaching.object_prototypes
        )
        update_centre(centres.objects, mean, count, settings.centre_momentum)
