"""Writes a network as a folder that timm loads: `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import timm
import torch
from torch import nn

from cribo.model.architectures import BackboneSpec
from cribo.model.checkpoint_file import read_checkpoint, write_tensors
from cribo.model.networks.backbone import MEAN, STD, has_cls, model_args, patch_size, seeded_backbone, tokens

FILES = ("model.safetensors", "config.json")  # files of a folder that timm loads


def teacher_backbone(path: Path) -> tuple[nn.Module, BackboneSpec, int]:
    """The trained backbone of a checkpoint, loaded strictly; the spec that timm builds it from; its training size in px.

    Raises ValueError if the file is damaged, or its weights do not fit the backbone that it claims to hold.
    """
    tensors, described = read_checkpoint(path)
    try:
        settings = described["settings"]
        spec, size = BackboneSpec(**settings["backbone"]), settings["views"]["size"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} does not say what was trained ({error!r}): fetch or pretrain it again") from None
    vit = seeded_backbone(spec, size, seed=0)
    prefix = "teacher.backbone."
    weights = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    try:
        vit.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{path} does not hold the {spec.name} that it says it holds: {said}") from error
    return vit.eval(), spec, size


def write_encoder(vit: nn.Module, spec: BackboneSpec, image_size: int, folder: Path) -> None:
    """`write_network` for one of our own backbones."""
    args = model_args(spec, image_size)
    write_network(vit, spec.architecture, args, MEAN, STD, image_size, folder)


def write_network(
    net: nn.Module, architecture: str, args: dict, mean: Sequence[float], std: Sequence[float], image_size: int, folder: Path
) -> None:
    """Write `model.safetensors` and timm's `config.json` for a network without classifier; verify what timm loads from them.

    Args:
        architecture, args: what `timm.create_model` builds this network from.
        image_size: side of the images that it was trained on, px.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "model.safetensors", net.state_dict())
    card = net.pretrained_cfg  # timm's own of the architecture
    config = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": net.num_features,
        "global_pool": "token" if has_cls(net) else "avg",
        "model_args": args,
        "pretrained_cfg": {
            "input_size": [3, image_size, image_size],
            "fixed_input_size": False,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": mean,
            "std": std,
            "num_classes": 0,
            "pool_size": None,
            "first_conv": card.get("first_conv"),
            "classifier": card.get("classifier"),
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    verify_or_remove(net, folder, image_size)


def verify_or_remove(net: nn.Module, folder: Path, image_size: int) -> float:
    """`verify`, but delete a network that fails, so that nobody mistakes it for one that passed."""
    try:
        return verify(net, folder, image_size)
    except BaseException:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # the folder may hold other files, which are not ours
            folder.rmdir()
        raise


@torch.inference_mode()
def verify(net: nn.Module, folder: Path, image_size: int) -> float:
    """Largest difference between the features of `net` and of timm's model from `folder`, at two image sizes; always 0.

    Raises ValueError if it is not 0.
    """
    exported = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    generator = torch.Generator().manual_seed(0)
    patch = patch_size(net)
    side = max(image_size // patch, 1) * patch
    worst = torch.zeros(())
    for height, width in ((side, side), (side + patch, 2 * side)):
        images = torch.randn(1, 3, height, width, generator=generator)
        pairs = zip(tokens(net, images), tokens(exported, images), strict=True)
        # torch's max keeps a NaN, which Python's max would lose
        worst = torch.stack([worst, *((a - b).abs().max() for a, b in pairs)]).max()
        if not worst == 0:
            raise ValueError(f"{folder}: timm's model differs from the trained one by {worst:.3g} at {height}×{width} px")
    return worst.item()
