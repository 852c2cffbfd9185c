"""Student and teacher: a backbone, followed by a projection head for the image and its objects."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cribo.method.lane import IN_ORDER, Lane
from cribo.method.losses import Prototypes
from cribo.method.objects import pool_objects
from cribo.model.architectures import BackboneSpec
from cribo.model.networks.attention import replace_attentions
from cribo.model.networks.backbone import build_backbone, tokens
from cribo.model.networks.drop_path import replace_drop_paths
from cribo.model.networks.head import Head
from cribo.model.networks.masked_autoencoder import MaskedAutoencoder
from cribo.model.networks.mlp import replace_mlps
from cribo.model.networks.patch_projection import replace_patch_projection


class Projections(NamedTuple):
    """What the losses need from one network; a field that no loss needs is None."""

    images: Float[Tensor, "2 B h"] | None  # bottleneck of the CLS token, by view; [C, B, h] for local crops
    objects: Float[Tensor, "2 B K h"] | None  # bottleneck of each object, by view
    image_prototypes: Prototypes | None
    object_prototypes: Prototypes | None


class Network(nn.Module):
    """f and its head (§3.2.3). Gradients flow only through calls of `forward`, so that DDP sees all of them."""

    def __init__(self, backbone: nn.Module, head: Head, bf16: bool = False):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.bf16 = bf16

    def _autocast(self, x: Tensor) -> torch.autocast:
        """bf16 for backbone and MLP if requested; pooling, bottleneck, prototypes and everything after stay fp32."""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16)

    def tokens(
        self, images: Float[Tensor, "2B 3 H W"], views: int = 2
    ) -> tuple[Float[Tensor, "2 B d"], Float[Tensor, "B 2N d"]]:
        """CLS tokens by view, and for each image the patch tokens of both views, view 1 first.

        `images` holds all first views, then all second views, and so on if there are more `views`.
        """
        with self._autocast(images):
            cls, patches = tokens(self.backbone, images)
        cls, patches = cls.float(), patches.float()
        return cls.unflatten(0, (views, -1)), patches.unflatten(0, (views, -1)).transpose(0, 1).flatten(1, 2)

    def forward(
        self,
        images: Float[Tensor, "2B 3 H W"],
        labels: Int[Tensor, "B 2N"] | None,
        K: int,
        views: int = 2,
        lane: Lane = IN_ORDER,
    ) -> Projections:
        """Pass all views through backbone and head; `labels` (the teacher's clusters, 0..K-1) define the objects.

        The teacher's `lane` may still be computing the labels; work waits for it between backbone and head.
        """
        cls, patches = self.tokens(images, views)
        lane.wait()
        return self.represent(cls, patches, labels, K)

    def represent(
        self, cls: Float[Tensor, "2 B d"], patches: Float[Tensor, "B 2N d"], labels: Int[Tensor, "B 2N"] | None, K: int
    ) -> Projections:
        """Pool the backbone's tokens into objects, and pass CLS tokens and objects through the head."""
        return self.project(cls, None if labels is None else pool_objects(patches, labels, K))

    def bottleneck(self, features: Float[Tensor, "... d"]) -> Float[Tensor, "... h"]:
        """The head's unit vectors in fp32."""
        with self._autocast(features):
            return self.head(features)

    def project(self, cls: Float[Tensor, "2 B d"], objects: Float[Tensor, "2 B K d"] | None) -> Projections:
        """The head's output for given features."""
        head = self.head
        return Projections(
            self.bottleneck(cls) if head.image_prototypes else None,
            None if objects is None else self.bottleneck(objects),
            head.image_prototypes() if head.image_prototypes else None,
            head.object_prototypes() if head.object_prototypes else None,
        )


def build_network(settings: dict, drop_path: float, bf16: bool = False) -> Network | MaskedAutoencoder:
    """The network that `results/plan/pretrain/MODEL.yaml` describes, initialised from torch's current random state.

    Prototype layers that no loss reads are not built, as their weights would have no gradient.
    """
    backbone = build_backbone(BackboneSpec(**settings["backbone"]), settings["views"]["size"], drop_path)
    replace_patch_projection(backbone)
    if bf16:
        replace_attentions(backbone)
        replace_mlps(backbone)
    if "mae" in settings:
        decoder = settings["mae"]["decoder"]
        return MaskedAutoencoder(backbone, decoder["width"], decoder["depth"], decoder["heads"], bf16)
    replace_drop_paths(backbone)
    shape = settings["head"]
    losses = set(settings["losses"])
    head = Head(
        backbone.num_features,
        shape["hidden"],
        shape["bottleneck"],
        shape["prototypes"],
        shape["norm_last_layer"],
        images="global" in losses,
        objects=bool(losses & {"cross_view", "cross_image"}),
    )
    return Network(backbone, head, bf16)
