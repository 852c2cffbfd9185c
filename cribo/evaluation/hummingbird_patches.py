"""Patches of square, augmented photos with soft labels, as the open-hummingbird protocol remembers them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int16, UInt8
from PIL import Image, ImageEnhance
from torchvision.transforms.functional import adjust_hue

from cribo.data.images import read_image, read_mask
from cribo.data.readers import Record
from cribo.data.views import draw_crop
from cribo.evaluation.errors import EvaluationError
from cribo.evaluation.feature_rows import feature_rows
from cribo.evaluation.features import Patches
from cribo.evaluation.progress import Progress
from cribo.evaluation.read_ahead import BATCH_PIXELS, read_ahead
from cribo.evaluation.soft_labels import SoftLabels, packed, soft_labels
from cribo.model.encoder import Encoder
from cribo.training.distributed import World

ASPECT = [3 / 4, 4 / 3]  # width / height of a crop


@dataclass(frozen=True)
class Augmentation:
    """crop_area: share of the photo; jitter: colour factors in 1 ± this (hue: ± this), each with `probability`."""

    crop_area: tuple[float, float]
    jitter: float
    probability: float


@dataclass(frozen=True)
class Soft:
    """Patches with soft labels in place of their hard ones, of the rows of all processes."""

    patches: Patches
    labels: SoftLabels


def soft_patches(
    encoder: Encoder,
    records: Sequence[Record],
    size: int,
    passes: int,
    augmentation: Augmentation | None,
    kept: int | None,
    classes: int,
    ignore: int,
    void: int | None,
    seed: int,
    world: World,
    workers: int,
    memory_gb: float,
    what: str,
) -> Soft:
    """Encode every photo `passes` times at `size` × `size` px; item number = pass · photos + photo.

    Without `augmentation` the whole photo is scaled (bilinear, its mask by nearest). Everything random is a function of
    (seed, pass, photo). `kept` patches an item are chosen as `rare_first` does, all if None. Void pixels count in column
    `void`, which may follow the classes, or nowhere. Processes share the items.

    Raises:
        EvaluationError: a photo has no mask, or its mask holds an unknown value.
        DataError: a file is missing or corrupt.
    """
    p, side = encoder.patch_size, size // encoder.patch_size
    items, rows_each = passes * len(records), min(kept or side**2, side**2)
    step = max(1, BATCH_PIXELS // size**2)
    batches = [range(i, min(i + step, items)) for i in range(0, items, step)]
    shares = tuple(tuple(i for batch in batches[rank :: world.size] for i in batch) for rank in range(world.size))
    own = shares[world.rank]
    starts = np.arange(items + 1) * rows_each
    rows = (np.array(own, dtype=np.int64)[:, None] * rows_each + np.arange(rows_each)).ravel()
    features = feature_rows(len(rows), encoder.width, memory_gb)
    progress, filled, labels = Progress(what, max(1, len(own))), 0, {}

    def read(item: int) -> tuple[UInt8[np.ndarray, "S S 3"], Int16[np.ndarray, "n C"]]:
        number = divmod(item, len(records))
        rng = np.random.default_rng([seed, *number])
        image, mask = square(records[number[1]], size, augmentation, rng)
        return image, class_counts(mask, p, classes, ignore, void, records[number[1]])

    for batch, loaded in read_ahead(batches[world.rank :: world.size], read, workers):
        _, maps = encoder(torch.from_numpy(np.stack([image for image, _ in loaded])).permute(0, 3, 1, 2))
        maps = torch.nn.functional.normalize(maps, dim=-1).cpu().flatten(1, 2)
        for item, patches, (_, own_counts) in zip(batch, maps, loaded, strict=True):
            chosen = rare_first(own_counts, rows_each, np.random.default_rng([seed, *divmod(item, len(records)), 1]))
            features[filled : filled + rows_each] = patches[torch.from_numpy(chosen)]
            labels[item] = packed(own_counts[chosen])
            filled += rows_each
        if world.main:
            progress.add(len(batch))
    patches = Patches(features, rows, np.zeros(0, np.uint8), ((side, side),) * items, starts, shares)
    return Soft(patches, soft_labels(labels, items, rows_each, columns(classes, void), world))


def square(
    record: Record, size: int, augmentation: Augmentation | None, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "S S"]]:
    """A photo and its mask at `size` × `size` px, cropped and jittered as `augmentation` says."""
    if record.mask is None:
        raise EvaluationError(f"{record.image} has no mask: dense evaluation needs one for every image")
    image, mask = Image.fromarray(read_image(record.image)), Image.fromarray(read_mask(record.mask))
    if mask.size != image.size:
        raise EvaluationError(f"{record.mask} has {mask.width} × {mask.height} px, its photo {image.width} × {image.height}")
    box = (0, 0, *image.size)
    if augmentation is not None:
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            if rng.random() < augmentation.probability:
                image = enhance(image).enhance(rng.uniform(1 - augmentation.jitter, 1 + augmentation.jitter))
        if rng.random() < augmentation.probability:
            image = adjust_hue(image, rng.uniform(-augmentation.jitter, augmentation.jitter))
        left, top, width, height = draw_crop(rng, *image.size, list(augmentation.crop_area), ASPECT)
        box = (left, top, left + width, top + height)
    image = image.crop(box).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image), np.asarray(mask.crop(box).resize((size, size), Image.Resampling.NEAREST))


def class_counts(
    mask: UInt8[np.ndarray, "S S"], patch: int, classes: int, ignore: int, void: int | None, record: Record
) -> Int16[np.ndarray, "n C"]:
    """Pixels of each class in each patch, row by row; void pixels count in column `void`, or nowhere if that is None."""
    side = mask.shape[0] // patch
    squares = mask.reshape(side, patch, side, patch).swapaxes(1, 2).reshape(side * side, patch * patch)
    unknown, width = squares == ignore, columns(classes, void)
    if (wrong := squares[~unknown & (squares >= classes)]).size:
        raise EvaluationError(f"{record.mask} holds {wrong[0]}, which is neither one of {classes} classes nor {ignore}")
    squares = np.where(unknown, void or 0, squares).astype(np.int64)
    bins = np.arange(len(squares))[:, None] * width + squares
    counted = bins[~unknown] if void is None else bins.ravel()
    return np.bincount(counted, minlength=len(squares) * width).reshape(-1, width).astype(np.int16)


def columns(classes: int, void: int | None) -> int:
    """How many things a patch may hold: the classes, and void where that has a column of its own."""
    return classes if void is None else max(classes, void + 1)


def rare_first(counts: Int16[np.ndarray, "n C"], kept: int, rng: np.random.Generator) -> np.ndarray:
    """Indices, ascending, of the `kept` patches with the lowest score: the number of patches of its photo that share each
    class of a patch, summed over its classes, times a uniform number. Patches with rare classes stay more often."""
    if kept == len(counts):
        return np.arange(kept)
    present = (counts > 0).astype(np.int64)
    scores = np.where(present.any(axis=1), (present @ present.sum(axis=0)) * rng.random(len(counts)), math.inf)
    return np.sort(np.argsort(scores, kind="stable")[:kept])
