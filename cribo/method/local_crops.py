"""DINO's multi-crop: small crops of an image, which only the student sees, predict the teacher's two views of it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cribo.method.losses import Softmax, soft_cross_entropy
from cribo.method.step import Centres, Losses, StepSettings, Teaching
from cribo.method.world import World


def local_step(
    student,
    crops: Float[Tensor, "CB 3 s s"],
    teaching: Teaching,
    centres: Centres,
    teacher_temperature: float,
    settings: StepSettings,
    world: World,
    part: slice = slice(None),
) -> Losses:
    """The part of L_cv^g due to local crops, to be added to that of `student_step`: H(teacher's view, crop) for all pairs.

    The crops have their own pass through the student. The activations of the views are freed before it, and it has its own
    drop-path draws.
    """
    crops = crops.unflatten(0, (settings.local_crops, -1))[:, part].flatten(0, 1)
    projected = student(crops, None, 0, settings.local_crops)
    targets = teaching.images[:, None, part].expand(-1, settings.local_crops, -1, -1).flatten(1, 2)
    weights = targets.new_full(targets.shape[:2], settings.pair_weight / teaching.images.shape[1])
    p = Softmax(projected.image_prototypes, settings.student_temperature)
    q = Softmax(teaching.image_prototypes, teacher_temperature, centres.images)
    loss = soft_cross_entropy(projected.images.flatten(0, 1), p, targets, q, weights, fused=settings.fused).total
    return Losses(loss, {"loss_global": loss.detach()})
