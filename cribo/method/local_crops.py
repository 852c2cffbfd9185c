"""DINO's multi-crop: small crops of an image, which the student alone sees, predict the teacher's two views of it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cribo.method.losses import soft_cross_entropy
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
    """The part of L_cv^g that local crops have, to be added to `student_step`'s: H(teacher's view, crop) for all pairs.

    A pass of its own through the student, so that its activations are gone before, and drop path has its own draws.
    """
    crops = crops.unflatten(0, (settings.local_crops, -1))[:, part].flatten(0, 1)
    projected = student(crops, None, 0, settings.local_crops)
    targets = teaching.images[:, None, part].expand(-1, settings.local_crops, -1, -1).flatten(1, 2)
    weights = targets.new_full(targets.shape[:2], settings.pair_weight / teaching.images.shape[1])
    loss, _, _ = soft_cross_entropy(
        projected.images.flatten(0, 1), projected.image_prototypes, targets, teaching.image_prototypes, centres.images,
        weights, settings.student_temperature, teacher_temperature, compiled=settings.fused,
    )  # fmt: skip
    return Losses(loss, {"loss_global": loss.detach()})
