"""The encoder contract: what every evaluation knows of a model, ours or foreign, read strictly from an exported folder.

The folder holds `config.json` and `model.safetensors` in timm's `local-dir:` layout. timm's own loader accepts keys that do
not fit, which silently turns a wrong export into a random backbone; here each such key is an error.
"""

from __future__ import annotations

import json
from pathlib import Path

import timm
import torch
from jaxtyping import Float, Num
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cribo.model.networks.backbone import has_cls, is_vit, norm_comes_late, patch_size, tokens


class EncoderError(ValueError):
    """An encoder folder that cannot be loaded, or images that an encoder cannot take: one sentence for the user."""


class Encoder(nn.Module):
    """A frozen network that maps images to a global feature `[B, d]` and a patch map `[B, h, w, d]`.

    Features come from a ViT's last block, after the final norm if there is one, or a convolutional network's last stage.

    Attributes:
        net: timm's network, a ViT or a convolutional one.
        name: the folder's name.
        patch_size: side of a patch in px; for a convolutional network, its stride.
        features, whole: descriptions of the patch and image features, for the card of a result.
        width: d, the size of a feature.
        mean, std: of the three RGB channels in [0, 1]; `forward` normalises with them.
    """

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], name: str, precision: str = "fp32"):
        super().__init__()
        self.net = net.eval().requires_grad_(False)
        self.name = name
        self.patch_size = patch_size(net)
        self.width = net.num_features
        self.features, self.whole = _described(net), _described_whole(net)
        self.mean, self.std = tuple(mean), tuple(std)
        self.autocast = precision == "bf16"
        self.register_buffer("shift", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Encoder:
        """Stay in evaluation mode whatever `mode` is: an encoder under test has no dropout and no drop path."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Num[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B h w d"]]:
        """Features in fp32 of RGB images (uint8 in 0-255 or floating point in 0-1), on the encoder's device.

        Raises:
            EncoderError: the shape is not `[B, 3, H, W]`, H or W is not a multiple of the patch size, or `images` is empty.
        """
        p = self.patch_size
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % p or images.shape[3] % p or not images.numel():
            raise EncoderError(
                f"the encoder {self.name} takes images [B, 3, H, W] with H and W multiples of {p}, not {list(images.shape)}"
            )
        x = images.to(self.shift.device)
        x = x.float() if x.is_floating_point() else x.float() / 255
        x = (x - self.shift) / self.scale
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            whole, patches = tokens(self.net, x)
        h, w = images.shape[2] // p, images.shape[3] // p
        return whole.float(), patches.float().unflatten(1, (h, w))


def _described(net: nn.Module) -> str:
    if not is_vit(net):
        return f"map of the last convolutional stage, one vector every {patch_size(net)} px"
    return f"patch tokens of {_last(net)}"


def _described_whole(net: nn.Module) -> str:
    if not is_vit(net):
        return "mean of the last convolutional stage's map"
    return f"{'CLS token' if has_cls(net) else 'mean of the patch tokens'} of {_last(net)}"


def _last(vit: nn.Module) -> str:
    normed = norm_comes_late(vit) or not isinstance(getattr(vit, "norm", None), nn.Identity | None)
    return f"the last block {'after' if normed else 'before'} the final norm"


def load_encoder(folder: str | Path, device: str | torch.device = "cpu", precision: str = "fp32") -> Encoder:
    """The encoder exported to `folder`, on `device`; `precision` bf16 runs the network in autocast.

    Raises:
        EncoderError: a file is missing or unreadable, the architecture is unknown, or a weight is missing, surplus,
            not finite, or of another shape or kind than `config.json` says; the message names it.
    """
    folder = Path(folder)
    config = read_config(folder)
    try:
        net = timm.create_model(config["architecture"], pretrained=False, num_classes=0, **config.get("model_args", {}))
    except (RuntimeError, TypeError) as error:
        raise EncoderError(
            f"timm cannot build {config['architecture']} as {folder / 'config.json'} asks: {error}"
        ) from error
    fill(net, _weights(folder), folder / "model.safetensors", "its config.json")
    statistics = config["pretrained_cfg"]
    encoder = Encoder(net, statistics["mean"], statistics["std"], folder.name, precision)
    return encoder.to(device)


def read_config(folder: Path) -> dict:
    """The folder's config, from which timm builds the network. Raises EncoderError if it is missing or incomplete."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError:
        raise EncoderError(f"{path} is missing: {folder} is not an exported encoder") from None
    except ValueError as error:
        raise EncoderError(f"{path} is not JSON: {error}") from error
    statistics = config.get("pretrained_cfg") if isinstance(config, dict) else None
    if not isinstance(statistics, dict) or not {"mean", "std"} <= statistics.keys() or "architecture" not in config:
        raise EncoderError(f"{path} does not give architecture, pretrained_cfg.mean and pretrained_cfg.std")
    return config


def _weights(folder: Path) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    try:
        return load_file(path)
    except FileNotFoundError:
        raise EncoderError(f"{path} is missing: {folder} is not an exported encoder") from None
    except SafetensorError as error:
        raise EncoderError(f"{path} is not a safetensors file: {error}") from error


def fill(net: nn.Module, weights: dict[str, Tensor], file: Path, awaited: str) -> None:
    """Load `weights` into `net`, with no key missing and none left over; `file` and `awaited` appear in the message.

    Raises:
        EncoderError: a weight is missing, surplus, of another shape or kind, or not finite; the message names it.
    """
    wanted = net.state_dict()
    # Files older than torch 0.4.1 lack these counters, which do not affect the features.
    weights = {key: value for key, value in wanted.items() if key.endswith(".num_batches_tracked")} | weights
    wrong = {
        "lacks": sorted(wanted.keys() - weights.keys()),
        "has the surplus": sorted(weights.keys() - wanted.keys()),
        "misshapes": [
            f"{key} ({list(weights[key].shape)} for {list(wanted[key].shape)})"
            for key in sorted(wanted.keys() & weights.keys())
            if weights[key].shape != wanted[key].shape
        ],
        # Quantised weights would be cast, which gives wrong values.
        "has whole numbers for fractions, or the reverse, in": [
            f"{key} ({str(weights[key].dtype).removeprefix('torch.')})"
            for key in sorted(wanted.keys() & weights.keys())
            if weights[key].is_floating_point() != wanted[key].is_floating_point()
        ],
    }
    found = [f"{verb} {_few(keys)}" for verb, keys in wrong.items() if keys]
    if found:
        raise EncoderError(f"{file} does not fit {awaited}: it {', and '.join(found)}")
    if odd := [key for key in sorted(weights) if not weights[key].float().isfinite().all()]:
        raise EncoderError(f"{file} has values that are not finite in {_few(odd)}: fetch it again or train it again")
    net.load_state_dict(weights, strict=True)


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
