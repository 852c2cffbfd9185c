"""Student and teacher: a backbone, then a projection head for the image and for its objects."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cribo.method.lane import IN_ORDER, Lane
from cribo.method.losses import Prototypes
from cribo.method.objects import pool_objects
from cribo.model.architectures import BackboneSpec
from cribo.model.networks.backbone import build_backbone, tokens
from cribo.model.networks.drop_path import replace_drop_paths
from cribo.model.networks.head import Head
from cribo.model.networks.masked_autoencoder import MaskedAutoencoder
from cribo.model.networks.mlp import replace_mlps
from cribo.model.networks.patch_projection import replace_patch_projection


class Projections(NamedTuple):
    """What the losses need of one network; None where no loss asks for it."""

    images: Float[Tensor, "2 B h"] | None  # bottleneck of the CLS token, by view; [C,B,h] of local crops
    objects: Float[Tensor, "2 B K h"] | None  # bottleneck of each object, by view
    image_prototypes: Prototypes | None
    object_prototypes: Prototypes | None


class Network(nn.Module):
    """f and its head (§3.2.3). `forward` is the only entrance that carries gradients, so that DDP sees every one."""

    def __init__(self, backbone: nn.Module, head: Head, bf16: bool = False):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.bf16 = bf16

    def _autocast(self, x: Tensor) -> torch.autocast:
        """bf16 for backbone and MLP if asked for; pooling, bottleneck, prototypes and all that follows stay fp32."""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16)

    def tokens(
        self, images: Float[Tensor, "2B 3 H W"], views: int = 2
    ) -> tuple[Float[Tensor, "2 B d"], Float[Tensor, "B 2N d"]]:
        """CLS tokens by view, and per image the patch tokens of both views, view 1 first.

        `images` holds all first views, then all second ones; or as many `views` of an image as there are.
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
        """All views through backbone and head; `labels` (the teacher's clusters, 0..K-1) say what the objects are.

        They may still be on their way in the teacher's `lane`, for which work waits between backbone and head.
        """
        cls, patches = self.tokens(images, views)
        lane.wait()
        return self.represent(cls, patches, labels, K)

    def represent(
        self, cls: Float[Tensor, "2 B d"], patches: Float[Tensor, "B 2N d"], labels: Int[Tensor, "B 2N"] | None, K: int
    ) -> Projections:
        """The backbone's tokens as image and objects, through the head."""
        return self.project(cls, None if labels is None else pool_objects(patches, labels, K))

    def bottleneck(self, features: Float[Tensor, "... d"]) -> Float[Tensor, "... h"]:
        """The head's unit vectors, fp32."""
        with self._autocast(features):
            return self.head(features)

    def project(self, cls: Float[Tensor, "2 B d"], objects: Float[Tensor, "2 B K d"] | None) -> Projections:
        """The head on features at hand."""
        head = self.head
        return Projections(
            self.bottleneck(cls) if head.image_prototypes else None,
            None if objects is None else self.bottleneck(objects),
            head.image_prototypes() if head.image_prototypes else None,
            head.object_prototypes() if head.object_prototypes else None,
        )


def build_network(settings: dict, drop_path: float, bf16: bool = False) -> Network | MaskedAutoencoder:
    """A network as `results/plan/pretrain/MODEL.yaml` describes it, from torch's current random state.

    Prototype layers that no loss reads are not built: they would be weights without a gradient.
    """
    backbone = build_backbone(BackboneSpec(**settings["backbone"]), settings["views"]["size"], drop_path)
    replace_patch_projection(backbone)
    if bf16:
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
