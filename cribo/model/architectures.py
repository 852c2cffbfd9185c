"""Names of backbones in params.yaml and timm's names for them; nothing else in the project knows timm's names.

This module does not import torch, so that params.yaml is checked in an instant. Only the plan looks a name up and writes
its meaning into the settings of each stage, so a new line here makes no stage stale.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class BackboneSpec:
    """Our name of a backbone, a timm architecture, and the arguments that turn it into ours."""

    name: str
    architecture: str
    patch_size: int
    args: dict = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Number of blocks: as in `args`, or else that of timm's ViTs of these sizes."""
        return self.args.get("depth", 12)

    def tree(self) -> dict:
        """The spec as a plan stores it; YAML has lists but no tuples."""
        return json.loads(json.dumps(asdict(self)))


_DEMO = {"patch_size": 8, "embed_dim": 64, "depth": 3, "num_heads": 2}
_SPECS = (
    BackboneSpec("vit_demo_8", "vit_tiny_patch16_224", 8, _DEMO),
    BackboneSpec("vit_mini_16", "vit_tiny_patch16_224", 16, {"depth": 6}),
    BackboneSpec("vit_tiny_16", "vit_tiny_patch16_224", 16),
    BackboneSpec("vit_small_16", "vit_small_patch16_224", 16),
    BackboneSpec("vit_small_8", "vit_small_patch8_224", 8),
    BackboneSpec("vit_base_16", "vit_base_patch16_224", 16),
)
BACKBONES = {spec.name: spec for spec in _SPECS}
