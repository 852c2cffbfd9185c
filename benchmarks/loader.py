"""Two augmented views of each photo: ours against PIL + torchvision v2, on one core, in one run, on the same photos.

    python benchmarks/loader.py --photos /where/photos/are --size 224

Prints images per second on one core, also as a multiple of PIL + torchvision. The time covers everything from the file to
normalised floats, with the probabilities of the paper's recipe. It is processor time, so other programs do not count. The
loaders take turns.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import v2

from cribo.data.batches.views import draw_view, render_view
from cribo.data.prepared.images import decode_image, read_image
from cribo.model.networks.backbone import MEAN, STD

VIEWS = {
    "crop_area": [0.25, 1.0],
    "crop_aspect": [0.75, 4 / 3],
    "flip": 0.5,
    "jitter": 0.8,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.2,
    "hue": 0.1,
    "grayscale": 0.2,
    "blur": [1.0, 0.1],
    "blur_radius": [0.1, 2.0],
    "solarise": [0.0, 0.2],
}
Way = Callable[[Path], object]


class PilBlur(torch.nn.Module):
    """DINO's blur: Pillow's Gaussian blur with a random radius."""

    def forward(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(1).uniform_(*VIEWS["blur_radius"]))))


def torchvision_views(size: int, tensors: bool) -> list[v2.Compose]:
    """Return the transforms of both views as in DINO, for PIL images or for uint8 tensors."""
    blur = v2.GaussianBlur(9, tuple(VIEWS["blur_radius"])) if tensors else PilBlur()
    jitter = v2.ColorJitter(*(VIEWS[name] for name in ("brightness", "contrast", "saturation", "hue")))
    return [
        v2.Compose(
            [
                *([v2.PILToTensor()] if tensors else []),
                v2.RandomResizedCrop(
                    size, VIEWS["crop_area"], VIEWS["crop_aspect"], v2.InterpolationMode.BICUBIC, antialias=True
                ),
                v2.RandomHorizontalFlip(VIEWS["flip"]),
                v2.RandomApply([jitter], VIEWS["jitter"]),
                v2.RandomGrayscale(VIEWS["grayscale"]),
                v2.RandomApply([blur], VIEWS["blur"][view]),
                v2.RandomSolarize(128, VIEWS["solarise"][view]),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )
        for view in range(2)
    ]


def theirs(size: int, tensors: bool) -> Way:
    views = torchvision_views(size, tensors)

    def load(path: Path) -> object:
        with Image.open(path) as file:
            image = file.convert("RGB")
        return [view(image) for view in views]

    return load


def ours(size: int, floats: bool) -> Way:
    numbers = itertools.count()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))

    def load(path: Path) -> object:
        rng, image = np.random.default_rng([0, next(numbers)]), read_image(path)
        draws = [draw_view(rng, image.shape[1], image.shape[0], view, VIEWS) for view in range(2)]
        views = torch.from_numpy(np.stack([render_view(image, draw, size) for draw in draws]))
        return (views.float() / 255 - mean) / std if floats else views  # as cribo.data.batches.loader.to_device

    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEGs, searched below too")
    parser.add_argument("--size", type=int, default=224, help="side of a view, px")
    parser.add_argument("--images", type=int, default=200, help="different photos")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way has its turn")
    given = parser.parse_args()
    paths = sorted(p for p in given.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        sys.exit(f"{given.photos} holds no JPEG")
    paths = paths[:: max(1, len(paths) // given.images)][: given.images]
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.manual_seed(0)
    sides = [read_image(path).shape[:2] for path in paths]
    print(
        f"{len(paths)} photos of {np.mean(sides, axis=0).round().astype(int)[::-1]} px, views of {given.size} px, one core"
    )
    raw = {path: path.read_bytes() for path in paths}
    ways: dict[str, Way] = {
        "PIL + torchvision v2": theirs(given.size, tensors=False),
        "torchvision v2 on tensors": theirs(given.size, tensors=True),
        "ours": ours(given.size, floats=True),
        "ours, as loaded (uint8)": ours(given.size, floats=False),
        "decoding alone": lambda path: decode_image(raw[path], path),
    }
    seconds = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, way in ways.items():
            start = time.process_time()
            for path in paths:
                way(path)
            seconds[name].append(time.process_time() - start)
    first = None
    for name, rounds in seconds.items():
        rate = len(paths) / min(rounds)
        first = first or rate
        spread = max(rounds) / min(rounds) - 1
        print(f"{name:26s} {rate:7.1f} img/s  {rate / first:5.2f}×  (slowest round {100 * spread:.0f} % slower)")


if __name__ == "__main__":
    main()
