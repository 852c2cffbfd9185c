"""Names of backbones in params.yaml and what timm calls them; nothing else in the project knows timm's names.

Free of torch, so that params.yaml is checked in an instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Statistics of ImageNet's RGB in [0, 1]: the input of every backbone, in training and in its export.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BackboneSpec:
    """A timm architecture and the arguments that make it ours."""

    architecture: str
    patch_size: int
    args: dict = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Blocks: as many as `args` says, else those of timm's ViTs of these sizes."""
        return self.args.get("depth", 12)


BACKBONES = {
    "vit_demo_8": BackboneSpec("vit_tiny_patch16_224", 8, {"patch_size": 8, "embed_dim": 64, "depth": 3, "num_heads": 2}),
    "vit_mini_16": BackboneSpec("vit_tiny_patch16_224", 16, {"depth": 6}),
    "vit_tiny_16": BackboneSpec("vit_tiny_patch16_224", 16),
    "vit_small_16": BackboneSpec("vit_small_patch16_224", 16),
    "vit_small_8": BackboneSpec("vit_small_patch8_224", 8),
    "vit_base_16": BackboneSpec("vit_base_patch16_224", 16),
}
