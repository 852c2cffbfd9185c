"""The teacher's backbone as a folder that timm loads: `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

from __future__ import annotations

import json
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from cribo.model.architectures import BACKBONES, MEAN, STD
from cribo.model.backbone import model_args, seeded_backbone, tokens


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors of a training checkpoint, and what was trained: settings, data set, digest, steps.

    Raises ValueError when the file is no checkpoint of ours, or a damaged one.
    """
    try:
        with safe_open(path, "pt") as file:
            described = (file.metadata() or {}).get("cribo")
            if described is None:
                raise ValueError(f"{path} is no checkpoint of cribo: it lacks the entry that says what was trained")
            return {key: file.get_tensor(key) for key in file.keys()}, json.loads(described)  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it and pretrain again") from error


def teacher_backbone(path: Path) -> tuple[nn.Module, str, int]:
    """The trained backbone of a checkpoint, loaded strictly; its name in params.yaml and its training size in px.

    Raises ValueError when the file is damaged, or its weights are not those of the backbone that it says it holds.
    """
    tensors, described = read_checkpoint(path)
    name, size = described["settings"]["backbone"], described["settings"]["views"]["size"]
    vit = seeded_backbone(name, size, seed=0)
    prefix = "teacher.backbone."
    weights = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    try:
        vit.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the {name} that it says it holds: {' '.join(str(error).split())}") from error
    return vit.eval(), name, size


def write_encoder(vit: nn.Module, name: str, image_size: int, folder: Path) -> None:
    """`model.safetensors` and timm's `config.json` for a backbone of ours, then a check of what timm makes of them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in vit.state_dict().items()}, folder / "model.safetensors")
    config = {
        "architecture": BACKBONES[name].architecture,
        "num_classes": 0,
        "num_features": vit.num_features,
        "global_pool": "token",
        "model_args": model_args(name, image_size),
        "pretrained_cfg": {
            "input_size": [3, image_size, image_size],
            "fixed_input_size": False,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": MEAN,
            "std": STD,
            "num_classes": 0,
            "pool_size": None,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    verify(vit, folder, image_size)


@torch.inference_mode()
def verify(vit: nn.Module, folder: Path, image_size: int) -> None:
    """Raise ValueError unless timm's model from `folder` gives the very features of `vit`, at two sizes."""
    exported = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    generator = torch.Generator().manual_seed(0)
    patch = vit.patch_embed.patch_size[0]
    for height, width in ((image_size, image_size), (image_size + patch, 2 * image_size)):
        images = torch.randn(2, 3, height, width, generator=generator)
        worst = max(float((a - b).abs().max()) for a, b in zip(tokens(vit, images), tokens(exported, images), strict=True))
        if worst > 0:
            raise ValueError(f"{folder}: timm's model differs from the trained one by {worst:.3g} at {height}×{width} px")
