"""The second half of a step: the student predicts the teacher's output for the other view and the neighbour (Eq. 11)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cribo.method.health import centre_entropy
from cribo.method.losses import Softmax, soft_cross_entropy
from cribo.method.rows import Rows
from cribo.method.step import Centres, Losses, StepSettings, Teaching
from cribo.method.world import World


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
    object with the object in the other view. Means are over all images of the batch, and over the valid or accepted objects
    of `mean_images` images, whatever the number of processes. `part` selects some of this process's images; the sum of the
    losses over all parts is the loss of the batch.
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
    """Targets of the student's objects and the weight of each prediction; n objects of both views, T losses."""

    losses: list[str]
    targets: Float[Tensor, "T n h"]
    weights: Float[Tensor, "T n"]
    rows: Rows  # objects that count in any of the losses


def _object_pairs(teaching: Teaching, settings: StepSettings, world: World, part: slice) -> _ObjectPairs | None:
    """The pairs of L_cv^o (Eq. 6) and L_ci^o (Eq. 8), known before the student's pass; None if neither loss is used."""
    targets, chosen = {}, {}
    if "cross_view" in settings.losses:
        targets["cross_view"], chosen["cross_view"] = teaching.objects, teaching.valid.expand(2, -1, -1)
    if teaching.neighbours is not None:
        targets["cross_image"], chosen["cross_image"] = teaching.neighbours, teaching.accepted
    elif settings.losses & {"cross_view", "cross_image"} == {"cross_image"}:
        # Off in this epoch: the object layers still get a gradient, zero, because processes wait for each other's gradients.
        targets["cross_image"], chosen["cross_image"] = teaching.objects, torch.zeros_like(teaching.valid).expand(2, -1, -1)
    if not targets:
        return None
    weights = torch.stack([_mean_weights(x, settings, world)[:, part].flatten() for x in chosen.values()])
    rows = Rows.of((weights != 0).any(dim=0))
    return _ObjectPairs(list(targets), torch.stack([x[:, part].flatten(0, 2) for x in targets.values()]), weights, rows)


def _other_view(x: Float[Tensor, "2 B *K h"]) -> Float[Tensor, "n h"]:
    """Rows of view 2, then rows of view 1, so that row i is paired with row i of the teacher."""
    return x.flip(0).flatten(0, -2)


def _mean_weights(chosen: Bool[Tensor, "2 B K"], settings: StepSettings, world: World) -> Float[Tensor, "2 B K"]:
    """1 / Z_m for each chosen object of view m, times the weight of a direction; zero for the others (Eqs. 6 and 8).

    Z_m counts the chosen objects of `mean_images` consecutive images: either the whole batch of all processes, or groups
    whose means are averaged. A group without chosen objects counts as zero.
    """
    chosen, images = chosen.float(), chosen.shape[1]
    whole = settings.mean_images > images
    grouped = chosen.unflatten(1, (-1, images if whole else settings.mean_images))
    z = grouped.sum(dim=(2, 3), keepdim=True)
    if whole:
        z = world.sum(z)
        share = world.size  # DDP averages over processes, but their parts must add up
    else:
        share = settings.mean_images / images
    return (settings.direction_weight * share * grouped / z.clamp_min(1)).flatten(1, 2)
