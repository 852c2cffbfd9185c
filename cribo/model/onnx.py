"""python -m cribo.model.onnx ENCODER OUT.onnx: export an encoder as ONNX, for programs without torch.

ENCODER is a folder as in results/encoders/, or any other weights that `python -m cribo.evaluate` takes without --set. The
ONNX model takes `images` [batch, 3, H, W], RGB in 0–1 and of one size (`--size`), normalises them itself, and returns
`global` [batch, d] and `patches` [batch, h, w, d]. Before OUT.onnx is created, the model is run and compared with the
encoder. Needs the packages onnx, onnxscript and onnxruntime (this project's extra `onnx`).
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from cribo.command import explained
from cribo.model.encoder import Encoder
from cribo.model.networks.backbone import tokens
from cribo.model.weights import encoder_of

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # largest difference of a feature, relative to the largest feature: fp32 sums run in another order


class Graph(nn.Module):
    """What an `Encoder` computes from floating point images, without its checks."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B h w d"]]:
        """Global feature and patch map, as the encoder returns them."""
        own = self.encoder
        whole, patches = tokens(own.net, (images - own.shift) / own.scale)
        return whole, patches.unflatten(1, (images.shape[2] // own.patch_size, images.shape[3] // own.patch_size))


def write_onnx(encoder: Encoder, size: tuple[int, int], out: Path) -> float:
    """Write `out` for images of `size` (height, width; px), and return its largest relative difference from the encoder.

    Raises:
        ValueError: a package is missing, the size is not a multiple of the patch size, or the features differ.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ValueError(f"ONNX needs the package {missing[0]}, which is not installed: pip install {' '.join(missing)}")
    if size[0] % encoder.patch_size or size[1] % encoder.patch_size:
        raise ValueError(f"{size[0]} × {size[1]} px are not multiples of {encoder.name}'s {encoder.patch_size} px patch")
    partial = out.with_name(f".{out.name}.partial")
    try:
        torch.onnx.export(
            Graph(encoder).eval(),
            (torch.rand(2, 3, *size),),
            partial,
            input_names=["images"],
            output_names=["global", "patches"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        worst = difference(encoder, partial, torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(0)))
        if not worst <= TOLERANCE:
            raise ValueError(
                f"{out} is not written: its features differ from {encoder.name}'s by {worst:.3g} of the largest"
            )
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)
    return worst


def difference(encoder: Encoder, file: Path, images: Float[Tensor, "B 3 H W"]) -> float:
    """Largest difference between the features of an ONNX file and of the encoder, relative to the encoder's largest."""
    from onnxruntime import InferenceSession

    found = InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"images": images.numpy()})
    pairs = [(mine.numpy(), theirs) for mine, theirs in zip(encoder(images), found, strict=True)]
    return float(np.max([np.abs(mine - theirs).max() / np.abs(mine).max() for mine, theirs in pairs]))  # max would lose NaN


def trained_at(encoder: Encoder) -> tuple[int, int]:
    """Height and width in px of the images for which an encoder's position embedding was made.

    Raises:
        ValueError: the encoder has none, for example a convolutional network.
    """
    size = getattr(getattr(encoder.net, "patch_embed", None), "img_size", None)
    if size is None:
        raise ValueError(f"{encoder.name} works on images of any size: say of which with --size H W")
    return size


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m cribo.model.onnx", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help="of the images, px (those of its training)")
    given = parser.parse_args(arguments)
    encoder = encoder_of(given.encoder)
    size = tuple(given.size or trained_at(encoder))
    worst = write_onnx(encoder, size, given.out)
    print(f"wrote {given.out} for images of {size[0]} × {size[1]} px: features differ by {worst:.2g} of the largest")


if __name__ == "__main__":
    with explained():
        main(sys.argv[1:])
