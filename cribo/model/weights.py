"""An encoder from whatever a person has: an exported folder, a model of timm by name, or random weights to compare with."""

from __future__ import annotations

import difflib
from pathlib import Path

import timm
import torch

from cribo.model.architectures import BACKBONES, MEAN, STD
from cribo.model.backbone import seeded_backbone
from cribo.model.encoder import Encoder, EncoderError, load_encoder

RANDOM = "random:"
RANDOM_SIZE = 224  # px, of the position embedding of random weights


def encoder_of(weights: str, device: str | torch.device = "cpu", precision: str = "fp32") -> Encoder:
    """The encoder that `weights` names.

    Args:
        weights: a folder with config.json and model.safetensors; or a vision transformer of timm with pretrained
            weights (`vit_small_patch16_224.dino`: downloaded once); or `random:vit_small_16`, drawn with seed 0.

    Raises:
        EncoderError: there is no such folder or model, it is no ViT, or its weights do not fit or cannot be had.
    """
    if weights.startswith(RANDOM):
        return _random(weights, precision).to(device)
    if Path(weights).is_dir():
        return load_encoder(weights, device, precision)
    if Path(weights).exists():
        raise EncoderError(f"{weights} is a file: give the folder of an encoder that timm loads, or a name that timm knows")
    if not timm.is_model(weights.partition(".")[0]):
        meant = difflib.get_close_matches(weights, timm.list_models("vit*", pretrained=True), n=1)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        raise EncoderError(f"{weights} is neither a folder nor a model that timm knows{hint}")
    return _timm(weights, precision).to(device)


def _random(weights: str, precision: str) -> Encoder:
    name = weights.removeprefix(RANDOM)
    if name not in BACKBONES:
        raise EncoderError(f"{weights}: {name} is no backbone (there are {', '.join(BACKBONES)})")
    return Encoder(seeded_backbone(name, RANDOM_SIZE, seed=0), MEAN, STD, f"random_{name}", precision)


def _timm(name: str, precision: str) -> Encoder:
    try:
        vit = timm.create_model(name, pretrained=True, num_classes=0, dynamic_img_size=True)
    except TypeError as error:
        raise EncoderError(f"{name} is no vision transformer that takes images of any size ({error})") from None
    except (RuntimeError, ValueError, OSError) as error:
        raise EncoderError(f"timm cannot give {name} with pretrained weights: {str(error).splitlines()[0]}") from error
    return Encoder(vit, vit.pretrained_cfg["mean"], vit.pretrained_cfg["std"], name, precision)
