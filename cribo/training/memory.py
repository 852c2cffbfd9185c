"""How much memory a training process needs, estimated from shapes alone and broken down by use."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import torch

from cribo.method.losses import BLOCKS
from cribo.model.networks.backbone import patch_size
from cribo.model.networks.network import Network
from cribo.training.state import TrainingState


@dataclass(frozen=True)
class Memory:
    """Bytes of one process, by use. `total` assumes all are alive at once, which is nearly true in the backward pass."""

    weights: int
    gradients: int
    optimiser: int
    bank: int
    activations: int
    losses: int

    @property
    def total(self) -> int:
        return sum(astuple(self))

    def told(self) -> str:
        """The estimate in words, in the units of a run's log lines."""
        parts = ", ".join(f"{f.name} {size(getattr(self, f.name))}" for f in fields(self))
        return f"{size(self.total)} per process ({parts})"


def size(count: float) -> str:
    """A number of bytes as text: `1.5 GB`, `30 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def memory_estimate(settings: dict, state: TrainingState, batch: int, device: str) -> Memory:
    """Bytes that a process needs for `batch` images a step; measured runs stay within a factor of 1.5.

    weights      4 bytes per parameter, student and teacher
    gradients    4 bytes per trained parameter
    optimiser    8 bytes per trained parameter (AdamW's two moments)
    bank         2 · S · K · (d + 1) · 4, and S · (33 · K + 8) for validity, classes and image ids
    activations  what the student's backward reads. A block keeps 16 values of width d per token: inputs (2) and outputs (2)
                 of both norms, queries, keys and values (3), attention (1), MLP before and after GELU (8). That is 64 · d
                 bytes in fp32, or 36 · d with bf16 (norm inputs stay fp32). The head keeps d + 4 · hidden + 2 · bottleneck
                 per row, for 2 · (K + 1) rows per image. The images, four values per token around the blocks and, with
                 bf16, one cast of each weight are added. Local crops have their own pass after that of the views, so the
                 larger of the two counts.
    losses       the gradient of each prototype layer, one more in flight, and four blocks of logits
    """
    if "mae" in settings:
        return _mae(settings, state, batch)
    student, shape = state.student, settings["head"]
    parameters = list(student.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    bank = getattr(state.bank, "shard", state.bank)
    views = settings["views"]
    local = views.get("local", {"count": 0, "size": 0})
    rows = 2 * batch * (1 + settings.get("clustering", {}).get("K", 0))
    crops = batch * local["count"]
    activations = max(
        _activations(student, 2 * batch, views["size"], rows, shape),
        _activations(student, crops, local["size"], crops, shape),
    )
    if student.bf16:
        activations += 2 * sum(p.numel() for p in (*student.backbone.parameters(), *student.head.mlp.parameters()))
    layers = sum(layer is not None for layer in (student.head.image_prototypes, student.head.object_prototypes))
    logits = min(BLOCKS[device], max(rows, crops, 1) * shape["prototypes"])
    return Memory(
        weights=4 * 2 * sum(p.numel() for p in parameters),
        gradients=4 * trained,
        optimiser=8 * trained,
        bank=0 if bank is None else sum(t.nbytes for t in vars(bank).values() if torch.is_tensor(t)),
        activations=activations,
        losses=4 * ((layers + 1) * shape["prototypes"] * shape["bottleneck"] + 4 * logits),
    )


def _activations(student: Network, images: int, side: int, rows: int, head: dict) -> int:
    """Activation bytes of one student pass over `images` images of `side` px, with `rows` rows through the head."""
    vit, (block, value) = student.backbone, (36, 2) if student.bf16 else (64, 4)
    tokens, width = (side // patch_size(vit)) ** 2 + 1, vit.num_features
    each = tokens * width * (len(vit.blocks) * block + 4 * value) + 4 * 3 * side**2
    return images * each + rows * (width + 4 * head["hidden"] + 2 * head["bottleneck"]) * value


def _mae(settings: dict, state: TrainingState, batch: int) -> Memory:
    """`memory_estimate` for MAE: one network, one view per image, an encoder on visible patches and a decoder on all."""
    net = state.student
    parameters = [p.numel() for p in net.parameters() if p.requires_grad]
    vit, patches = net.backbone, net.backbone.patch_embed.num_patches
    seen, block = 1 + int(patches * (1 - settings["mae"]["mask"])), 36 if net.bf16 else 64
    encoder = (seen * len(vit.blocks) * block + 8 * patches) * vit.num_features
    decoder = (patches + 1) * (len(net.blocks) * block + 16) * net.embed.out_features
    pixels = 3 * settings["views"]["size"] ** 2
    return Memory(
        weights=4 * sum(p.numel() for p in net.parameters()),
        gradients=4 * sum(parameters),
        optimiser=8 * sum(parameters),
        bank=0,
        activations=batch * (encoder + decoder + 4 * pixels),
        losses=4 * batch * 4 * pixels,
    )
