"""What a step of CrIBo is made of: its settings, what the teacher hands to the student, and the centres (Eq. 11).

teacher.py and student.py are its two halves, in the order in which they run; then the centres move. All take and return
tensors. What they need from other processes (sums and gathers over the whole batch) is passed in as `world`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cribo.method.clustering import ClusteringSettings
from cribo.method.kmeans import KMeansSettings
from cribo.method.lane import IN_ORDER, Lane
from cribo.method.losses import Prototypes, mean_logits, update_centre
from cribo.method.oracle import LabelSettings
from cribo.method.world import World


@dataclass(frozen=True)
class StepSettings:
    """The settings that a step reads from `results/plan/pretrain/MODEL.yaml`, and one switch of `compute`."""

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
        """Weight of each of a loss's two directions: Eqs. 6, 8 and 10 add them up, the released code averages them."""
        return 0.5 if self.directions == "mean" else 1.0

    @property
    def pair_weight(self) -> float:
        """Weight of one pair (a teacher's view, another view of the image) in L_cv^g. The average covers the two pairs of
        Eq. 10 and two more for each local crop (DINO's multi-crop)."""
        return self.direction_weight / (1 + self.local_crops)


@dataclass(frozen=True)
class Centres:
    """Running means of the teacher's logits, one for images and one for objects; updated in place."""

    images: Float[Tensor, " L"]
    objects: Float[Tensor, " L"]


@dataclass(frozen=True)
class Teaching:
    """What the teacher returns for a batch, without gradient. Object fields are None when no loss reads objects."""

    images: Float[Tensor, "2 B h"] | None  # bottleneck of the CLS tokens
    objects: Float[Tensor, "2 B K h"] | None  # bottleneck of each object
    neighbours: Float[Tensor, "2 B K h"] | None  # bottleneck of nn(c_m); None while the cross-image loss is off
    labels: Int[Tensor, "B 2N"] | None
    valid: Bool[Tensor, "B K"] | None
    accepted: Bool[Tensor, "2 B K"] | None
    image_prototypes: Prototypes | None
    object_prototypes: Prototypes | None
    health: dict[str, Tensor]  # scalars worth watching, still on the device
    lane: Lane = IN_ORDER  # where all this is computed; wait for it before using the fields elsewhere


@dataclass(frozen=True)
class Losses:
    """The sum of Eq. 11 over this process's images, scaled so that the mean over processes is the loss of the batch."""

    total: Float[Tensor, ""]
    terms: dict[str, Tensor]  # each loss of Eq. 11, and the entropies of teacher and centres, without gradient


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
