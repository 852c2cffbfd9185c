"""DETR's training augmentation as YOLOS uses it: a random flip, a random crop half of the time, then a random scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from cribo.data.prepared.images import read_image
from cribo.evaluation.detection.boxes import BoxedPhoto
from cribo.evaluation.harness.errors import EvaluationError


@dataclass(frozen=True)
class Sizes:
    """All in px. short: shorter sides, [from, to, step]; longest: maximum of the longer side; crop_from: shorter sides
    before a random crop; crop: its sides, [min, max]; test: shorter side of val photos; patch: sides are multiples of it,
    because the network would not see the remainder of a photo, while boxes are shares of the whole."""

    short: tuple[int, int, int]
    longest: int
    crop_from: tuple[int, ...]
    crop: tuple[int, int]
    test: int
    patch: int


@dataclass(frozen=True)
class Sample:
    """A photo as the network sees it. Boxes are centre x, centre y, width and height, as shares of the photo."""

    id: int
    image: UInt8[np.ndarray, "H W 3"]
    boxes: Float[np.ndarray, "n 4"]
    categories: Int[np.ndarray, " n"]


def training_sample(photo: BoxedPhoto, sizes: Sizes, rng: np.random.Generator) -> Sample:
    """Return one augmented photo: a pure function of the photo and the generator's state.

    Boxes without width or height are no targets, as in DETR: there is nothing to see in them.
    Raises DataError if the photo cannot be read.
    """
    image, (boxes, categories) = _photo(photo), _solid(photo.boxes.copy(), photo.categories)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        boxes[:, [0, 2]] = image.width - boxes[:, [2, 0]]
    if rng.random() < 0.5:
        image, boxes = _resized(image, boxes, int(rng.choice(sizes.crop_from)))
        width, height = (int(rng.integers(min(sizes.crop[0], side), min(sizes.crop[1], side) + 1)) for side in image.size)
        left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
        image = image.crop((left, top, left + width, top + height))
        boxes = np.clip(boxes - [left, top, left, top], 0, [width, height, width, height])
        boxes, categories = _solid(boxes, categories)
    short = int(rng.choice(np.arange(sizes.short[0], sizes.short[1] + 1, sizes.short[2])))
    return _sample(photo.id, *_resized(image, boxes, short, sizes.longest, sizes.patch), categories)


def val_sample(photo: BoxedPhoto, sizes: Sizes) -> Sample:
    """Return a photo of the val split, scaled but not augmented."""
    return _sample(photo.id, *_resized(_photo(photo), photo.boxes, sizes.test, sizes.longest, sizes.patch), photo.categories)


def _solid(
    boxes: Float[np.ndarray, "n 4"], categories: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "m 4"], Int[np.ndarray, " m"]]:
    """Return the boxes (given by their corners) that span an area, and their categories."""
    solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[solid], categories[solid]


def _photo(photo: BoxedPhoto) -> Image.Image:
    image = Image.fromarray(read_image(photo.photo))
    if image.size != (photo.width, photo.height):
        raise EvaluationError(
            f"{photo.photo} has {image.width} × {image.height} px, its annotation says {photo.width} × {photo.height}"
        )
    return image


def _resized(
    image: Image.Image, boxes: Float[np.ndarray, "n 4"], short: int, longest: int | None = None, multiple: int = 1
) -> tuple[Image.Image, Float[np.ndarray, "n 4"]]:
    """Scale bilinearly with antialiasing. The shorter side becomes `short`, or less if the longer one would exceed
    `longest`; then each side becomes the nearest multiple of `multiple`."""
    low, high = sorted(image.size)
    if longest is not None and high / low * short > longest:
        short = round(longest * low / high)
    size = tuple(short if side == low else int(short * side / low) for side in image.size)
    size = tuple(max(1, round(side / multiple)) * multiple for side in size)
    scale = np.array([size[0] / image.width, size[1] / image.height] * 2)
    return image.resize(size, Image.Resampling.BILINEAR), boxes * scale


def _sample(identity: int, image: Image.Image, boxes: Float[np.ndarray, "n 4"], categories: np.ndarray) -> Sample:
    corners = boxes / (image.size * 2)
    shares = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
    return Sample(identity, np.asarray(image), shares, categories)
