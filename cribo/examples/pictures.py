"""Arrays of colours, and PNG files of them. The same array gives the same bytes."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

Picture = UInt8[np.ndarray, "H W 3"]
GOLDEN = 0.618033988749895  # golden-ratio steps around the colour circle make successive hues differ


def palette(count: int) -> UInt8[np.ndarray, "count 3"]:
    """Return colours that differ in hue, then in lightness and saturation."""
    rows = [(0.02 + GOLDEN * i % 1.0, (0.55, 0.42, 0.68)[i % 3], (0.75, 0.9, 0.6)[i // 3 % 3]) for i in range(count)]
    return np.array([[round(255 * c) for c in colorsys.hls_to_rgb(*row)] for row in rows], dtype=np.uint8)


def class_colours(count: int) -> UInt8[np.ndarray, "256 3"]:
    """Return colours by class id: 0 is grey, since it is the background in sets that have one; 255, void, is white."""
    colours = np.full((256, 3), 255, dtype=np.uint8)
    colours[:count] = np.concatenate([[[70, 74, 82]], palette(max(count - 1, 0))])[:count]
    return colours


def enlarged(image: Picture, least: int) -> Picture:
    """Enlarge each pixel to a square, so that the longer side has at least `least` px. Interpolation gives larger files."""
    times = max(1, -(-least // max(image.shape[:2])))
    return image.repeat(times, axis=0).repeat(times, axis=1)


def tinted(image: Picture, labels: Int[np.ndarray, "h w"], colours: UInt8[np.ndarray, "n 3"], share: float = 0.5) -> Picture:
    """Overlay the image with the colours of its patches' labels; leave patches with label −1 unchanged."""
    layer = _of_pixels(labels, image)
    mixed = (1 - share) * image + share * colours[np.maximum(layer, 0)]
    return np.where(layer[..., None] < 0, image, mixed.round()).astype(np.uint8)


def lit(image: Picture, inside: np.ndarray, colour: UInt8[np.ndarray, " 3"]) -> Picture:
    """Show the patches `inside` [h, w] unchanged, outlined in `colour`, and everything else in pale grey."""
    within = _of_pixels(inside.astype(np.int64), image).astype(bool)
    grey = 200 + 0.2 * (image.mean(axis=2, keepdims=True) - 128)
    out = np.where(within[..., None], image, grey.repeat(3, axis=2).round().clip(0, 255)).astype(np.uint8)
    padded = np.pad(within, 1)
    middle = padded[1:-1, 1:-1]
    around = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    out[middle & ~np.logical_and.reduce(around)] = colour
    return out


def _of_pixels(values: Int[np.ndarray, "h w"], image: Picture) -> Int[np.ndarray, "H W"]:
    """Return each pixel's value, that of its patch; the image's sides are multiples of the grid's."""
    down, across = image.shape[0] // values.shape[0], image.shape[1] // values.shape[1]
    return values.repeat(down, axis=0).repeat(across, axis=1)


def save(picture: Picture, path: Path) -> str:
    """Write a PNG; return its file name."""
    Image.fromarray(picture).save(path, optimize=True)
    return path.name


def shrunk(image: Picture, most: int) -> Picture:
    """Shrink the image, if necessary, so that no side is longer than `most` px."""
    if max(image.shape[:2]) <= most:
        return image
    small = Image.fromarray(image)
    small.thumbnail((most, most), Image.Resampling.BICUBIC)
    return np.asarray(small)
