"""One step of CrIBo: the teacher says what the objects are and what they look like, the student predicts it (Eq. 11).

Two functions, in the order in which they run. Both take and return tensors; what they need of other processes (sums and
gathers over the whole batch) is handed in as `world`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor

from cribo.method.clustering import ClusteringSettings, joint_space_clustering
from cribo.method.health import centre_entropy, neighbour_signals, object_signals
from cribo.method.kmeans import KMeansSettings, kmeans
from cribo.method.lane import IN_ORDER, Lane
from cribo.method.losses import Prototypes, Softmax, mean_logits, soft_cross_entropy, update_centre
from cribo.method.matching import accept
from cribo.method.memory_bank import MemoryBank, Neighbours, Search, ages, push, retrieve
from cribo.method.objects import pool_objects, seen_in_both
from cribo.method.oracle import LabelSettings, label_clusters, object_classes, same_classes
from cribo.method.rows import Rows
from cribo.method.sharded_bank import ShardedBank, push_sharded, retrieve_sharded
from cribo.method.world import World


@dataclass(frozen=True)
class StepSettings:
    """What a step reads of `results/plan/pretrain/MODEL.yaml`, and one switch of `compute`."""

    losses: frozenset[Literal["global", "cross_view", "cross_image"]]
    clustering: ClusteringSettings | KMeansSettings | LabelSettings | None
    criterion: Literal["cycle", "none", "labels"]
    pool_images: int
    student_temperature: float
    centre_momentum: float
    exclude_same_image: bool
    directions: Literal["mean", "sum"]
    mean_images: int
    local_crops: int = 0
    fused: bool = False  # kernels for clustering, search, losses and clipping on a GPU (compute.compile)

    @property
    def K(self) -> int:
        return self.clustering.K if self.clustering else 0

    @property
    def direction_weight(self) -> float:
        """What each of a loss's two directions counts: Eqs. 6, 8 and 10 add them up, the released code averages."""
        return 0.5 if self.directions == "mean" else 1.0

    @property
    def pair_weight(self) -> float:
        """Weight of one pair (a teacher's view, another view of the image) in L_cv^g: the two pairs of Eq. 10 and two more
        for each local crop, averaged (DINO's multi-crop)."""
        return self.direction_weight / (1 + self.local_crops)


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
    image_prototypes: Prototypes | None
    object_prototypes: Prototypes | None
    health: dict[str, Tensor]  # scalars worth watching, still on the device
    lane: Lane = IN_ORDER  # where all this is computed; before it is used elsewhere, wait for it


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
    """Clusters, objects, neighbours and targets of a batch; then the batch's objects enter the memory bank.

    `cross_image` says whether that loss is on in this epoch: while it is off nothing is retrieved. `classes` of the patches
    are there for the oracles alone. `at_once` bounds how many of this process's images are encoded and clustered at a time;
    it saves memory and changes nothing.
    """
    at_once = at_once or len(image_ids)
    encoded = [teacher.tokens(part.flatten(0, 1)) for part in images.unflatten(0, (2, -1)).split(at_once, dim=1)]
    cls, patches = torch.cat([cls for cls, _ in encoded], dim=1), torch.cat([patches for _, patches in encoded])
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


class _Gathered(NamedTuple):
    """The teacher's objects of all processes' images, and which of them are this one's."""

    objects: Float[Tensor, "2 G K d"]
    valid: Bool[Tensor, "G K"]
    image_ids: Int[Tensor, " G"]
    classes: Int64[Tensor, "G K W"] | None
    ours: slice


def _gathered(objects: Tensor, valid: Tensor, image_ids: Tensor, classes: Tensor | None, world: World) -> _Gathered:
    """The one exchange of new objects in a step."""
    if world.size == 1:
        return _Gathered(objects, valid, image_ids, classes, slice(None))
    share = len(image_ids)
    ours = slice(world.rank * share, (world.rank + 1) * share)
    sent = [objects, valid, image_ids, *([] if classes is None else [classes])]
    objects, valid, image_ids, *rest = world.gather_all(sent, [1, 0, 0, 0][: len(sent)])
    return _Gathered(objects, valid, image_ids, rest[0] if rest else None, ours)


def _search(teacher, fused: bool) -> Search:
    """How the bank is searched: rounded where the GPU rounds the backbone too, on a CPU never (it gains nothing there)."""
    if not (teacher.bf16 and next(teacher.parameters()).is_cuda):
        return "fp32"
    return "fused" if fused else "half"


def _retrieve(bank: MemoryBank | ShardedBank, batch: _Gathered, exclude_same_image: bool, search: Search) -> Neighbours:
    """Neighbours of this process's objects, in a bank of its own or in one spread over all processes."""
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


@dataclass(frozen=True)
class Losses:
    """The sum of Eq. 11 over this process's images, scaled so that the mean over processes is the loss of the batch."""

    total: Float[Tensor, ""]
    terms: dict[str, Tensor]  # each loss of Eq. 11 alone, the teacher's and the centres' entropies, without gradient


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
    """The losses of a batch: H(teacher's view m, student's other view), both directions together.

    L_cv^g (Eq. 10) pairs CLS tokens, L_cv^o (Eq. 6) the same object in two views, L_ci^o (Eq. 8) the neighbour of view m's
    object with the object in the other view. Means are over all images of the batch, and over the valid or the accepted
    objects of `mean_images` images, whatever the number of processes. With `part`, only those of this process's images are
    looked at, and the sum over parts is the loss of the batch.
    """
    images = images.unflatten(0, (2, -1))[:, part].flatten(0, 1)
    with teaching.lane.queue():
        pairs = _object_pairs(teaching, settings, world, part)
        labels = None if teaching.labels is None else teaching.labels[part]
    projected = student(images, labels, settings.K, lane=teaching.lane)
    total, terms = images.new_zeros((), dtype=torch.float32), {}

    if "global" in settings.losses:
        targets = teaching.images[:, part].flatten(0, 1)[None]
        weights = targets.new_full(targets.shape[:2], settings.pair_weight / teaching.images.shape[1])
        p = Softmax(projected.image_prototypes, settings.student_temperature)
        q = Softmax(teaching.image_prototypes, teacher_temperature, centres.images)
        found = soft_cross_entropy(_other_view(projected.images), p, targets, q, weights, fused=settings.fused)
        total = total + found.total
        terms |= {"loss_global": found.total.detach(), "entropy_images": found.entropy[0] / (2 * settings.pair_weight)}
        terms["centre_entropy_images"] = centre_entropy(centres.images, teacher_temperature)

    if pairs:
        p = Softmax(projected.object_prototypes, settings.student_temperature)
        q = Softmax(teaching.object_prototypes, teacher_temperature, centres.objects)
        found = soft_cross_entropy(
            _other_view(projected.objects), p, pairs.targets, q, pairs.weights, pairs.rows, fused=settings.fused
        )
        total = total + found.total
        terms |= {f"loss_{name}": value for name, value in zip(pairs.losses, found.of_target, strict=True)}
        terms["entropy_objects"] = found.entropy[0] / (2 * settings.direction_weight)
        terms["centre_entropy_objects"] = centre_entropy(centres.objects, teacher_temperature)
    return Losses(total, terms)


class _ObjectPairs(NamedTuple):
    """What the student's objects are to predict, and what each prediction counts; n objects of both views, T losses."""

    losses: list[str]
    targets: Float[Tensor, "T n h"]
    weights: Float[Tensor, "T n"]
    rows: Rows  # objects that count in any of the losses


def _object_pairs(teaching: Teaching, settings: StepSettings, world: World, part: slice) -> _ObjectPairs | None:
    """The pairs of L_cv^o (Eq. 6) and L_ci^o (Eq. 8), if either is asked for; known before the student's pass."""
    targets, chosen = {}, {}
    if "cross_view" in settings.losses:
        targets["cross_view"], chosen["cross_view"] = teaching.objects, teaching.valid.expand(2, -1, -1)
    if teaching.neighbours is not None:
        targets["cross_image"], chosen["cross_image"] = teaching.neighbours, teaching.accepted
    elif settings.losses & {"cross_view", "cross_image"} == {"cross_image"}:
        # Off in this epoch: the layers of objects have a gradient, of zero, because processes wait for each other's.
        targets["cross_image"], chosen["cross_image"] = teaching.objects, torch.zeros_like(teaching.valid).expand(2, -1, -1)
    if not targets:
        return None
    weights = torch.stack([_mean_weights(x, settings, world)[:, part].flatten() for x in chosen.values()])
    rows = Rows.of((weights != 0).any(dim=0))
    return _ObjectPairs(list(targets), torch.stack([x[:, part].flatten(0, 2) for x in targets.values()]), weights, rows)


def _other_view(x: Float[Tensor, "2 B *K h"]) -> Float[Tensor, "n h"]:
    """Rows of view 2, then of view 1: row i stands opposite row i of the teacher's."""
    return x.flip(0).flatten(0, -2)


def _mean_weights(chosen: Bool[Tensor, "2 B K"], settings: StepSettings, world: World) -> Float[Tensor, "2 B K"]:
    """1 / Z_m for each chosen object of view m, times the weight of a direction; zero for the others (Eqs. 6 and 8).

    Z_m counts the chosen objects of `mean_images` consecutive images: the whole batch of all processes, or groups whose
    means are averaged, a group without any counting as zero.
    """
    chosen, images = chosen.float(), chosen.shape[1]
    whole = settings.mean_images > images
    grouped = chosen.unflatten(1, (-1, images if whole else settings.mean_images))
    z = grouped.sum(dim=(2, 3), keepdim=True)
    if whole:
        z = world.sum(z)
        share = world.size  # DDP averages over processes: each stands for its part of the sum
    else:
        share = settings.mean_images / images
    return (settings.direction_weight * share * grouped / z.clamp_min(1)).flatten(1, 2)


@torch.no_grad()
def centres_step(teaching: Teaching, centres: Centres, settings: StepSettings, world: World) -> None:
    """Move the centres towards the mean logits of the batch's CLS tokens and valid objects (neighbours do not count)."""
    if teaching.images is not None:
        rows = teaching.images.flatten(0, 1)
        count = rows.new_full((), len(rows) * world.size)
        mean = mean_logits(world.sum(rows.sum(dim=0)), count, teaching.image_prototypes)
        update_centre(centres.images, mean, count, settings.centre_momentum)
    if teaching.objects is not None:
        valid = teaching.valid.float()
        count = world.sum(2 * valid.sum())
        mean = mean_logits(
            world.sum((teaching.objects * valid[..., None]).sum(dim=(0, 1, 2))), count, teaching.object_prototypes
        )
        update_centre(centres.objects, mean, count, settings.centre_momentum)
