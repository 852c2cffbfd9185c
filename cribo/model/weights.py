"""An encoder from whatever weights a user has: a folder, a published file, a timm model by name, or random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from cribo.model.architectures import BACKBONES
from cribo.model.encoder import Encoder, EncoderError
from cribo.model.foreign.load import load
from cribo.model.networks.backbone import MEAN, STD, seeded_backbone

RANDOM = "random:"
RANDOM_SIZE = 224  # image side in px for which random weights make their position embedding
UNSAID = dict.fromkeys(("backbone", "ours", "image_size", "seed", "format", "stride", "mean", "std"))


def encoder_of(
    weights: str, device: str | torch.device = "cpu", precision: str = "fp32", settings: dict | None = None
) -> Encoder:
    """The encoder that `weights` names.

    Args:
        weights: a folder with config.json and weights, exported here or saved by timm; a name in the catalogue
            (`dino_vits16_in1k`, whose file must be in the folder of published weights); a timm model with pretrained
            weights (`vit_small_patch16_224.dino`, downloaded once); or `random:vit_small_16`, drawn with seed 0.
        settings: the planned settings of a line under models.imported, if the name alone does not say everything.

    Raises:
        EncoderError: there is no such folder, file or model, it has no feature map, or its weights do not fit or cannot be
            obtained.
    """
    if settings is None and weights == "random":
        raise EncoderError(f"{weights} does not say of what: write {RANDOM}BACKBONE, as {RANDOM}vit_small_16")
    if settings is None and weights.startswith(RANDOM):
        return _random(weights, precision).to(device)
    if settings is None and Path(weights).is_file():
        raise EncoderError(
            f"{weights} is a file: give the folder of an encoder, or import the file by a line under models.imported "
            "that says its format (docs/encoders.md)"
        )
    found = load(settings or {"weights": weights, **UNSAID})
    name = Path(weights).resolve().name if Path(weights).exists() else weights
    return Encoder(found.net, found.mean, found.std, name, precision).to(device)


def _random(weights: str, precision: str) -> Encoder:
    name = weights.removeprefix(RANDOM)
    if name not in BACKBONES:
        raise EncoderError(f"{weights}: {name} is not a backbone (there are {', '.join(BACKBONES)})")
    return Encoder(seeded_backbone(BACKBONES[name], RANDOM_SIZE, seed=0), MEAN, STD, f"random_{name}", precision)
