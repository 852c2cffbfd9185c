"""How much arithmetic a training needs per image and how much the device could do; their ratio is the MFU.

Model FLOP utilisation counts what the mathematics requires: a forward pass of the teacher, and forward and backward passes
of the student. Clustering, retrieval and recomputed activations are overhead: they count only as time.
"""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from cribo.method.mae import random_masking
from cribo.model.architectures import BackboneSpec
from cribo.model.networks.backbone import build_backbone
from cribo.model.networks.network import build_network

# Peak dense matrix throughput in TFLOP/s for bf16, TF32 and fp32, from the makers' data sheets. MI250X: one of two dies.
PEAKS = {
    "H200": (989, 495, 67),
    "H100": (989, 495, 67),
    "A100": (312, 156, 19.5),
    "L40S": (362, 183, 91.6),
    "A40": (150, 75, 37.4),
    "MI250": (192, 47.9, 47.9),
    "V100": (0, 15.7, 15.7),
}


def flops_per_image(settings: dict) -> float:
    """FLOPs (a multiply-add is two) of one step of this model, divided by the images of the batch."""
    side = settings["views"]["size"]
    if "mae" in settings:
        return _mae(settings, side)
    head = settings["head"]
    local = settings["views"].get("local", {"count": 0, "size": side})
    with torch.device("meta"):
        vit = build_backbone(BackboneSpec(**settings["backbone"]), side)
        view, crop = (_forward(vit, pixels) for pixels in (side, local["size"]))
    d, hidden, bottleneck = vit.num_features, head["hidden"], head["bottleneck"]
    mlp = 2 * (d * hidden + hidden * hidden + hidden * bottleneck)
    vector = mlp + 2 * bottleneck * head["prototypes"]
    losses = set(settings["losses"])
    objects = settings["clustering"]["K"] if losses & {"cross_view", "cross_image"} else 0
    taught = ("global" in losses) + objects * len(losses & {"cross_view", "cross_image"})
    learnt = ("global" in losses) + objects
    crops = 3 * local["count"] * (crop + vector)  # only the student sees them
    return 2 * (4 * view + 3 * learnt * vector + taught * vector) + crops


def _forward(vit: torch.nn.Module, side: int) -> int:
    """FLOPs of the backbone's forward pass on one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        vit.forward_features(torch.empty(1, 3, side, side))
    return counter.get_total_flops()


def _mae(settings: dict, side: int) -> float:
    """FLOPs of forward and backward on one view: the encoder on visible patches, the decoder on all."""
    with torch.device("meta"):
        network = build_network(settings, 0.0)
        masking = random_masking(torch.empty(1, network.backbone.patch_embed.num_patches), settings["mae"]["mask"])
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(1, 3, side, side), masking)
    return 3 * counter.get_total_flops()


def peak_flops(device: torch.device, precision: str, tf32: bool) -> float:
    """Peak FLOP/s of this device in the precision of the backbone; 0 if it is not known."""
    if device.type != "cuda":
        return 0.0
    name = torch.cuda.get_device_name(device)
    bf16, tf, fp32 = next((peaks for key, peaks in PEAKS.items() if key in name), (0, 0, 0))
    return 1e12 * (bf16 if precision == "bf16" else tf if tf32 else fp32)
