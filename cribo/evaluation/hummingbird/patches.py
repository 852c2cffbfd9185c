"""Patches of square, augmented photos with soft labels, as the open-hummingbird protocol keeps them in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int16, UInt8
from PIL import Image, ImageEnhance
from torchvision.transforms.functional import adjust_hue

from cribo.data.batches.views import draw_crop
from cribo.data.prepared.images import read_image, read_mask
from cribo.data.prepared.readers import Record
from cribo.evaluation.features.feature_rows import feature_rows
from cribo.evaluation.features.patch_features import Patches
from cribo.evaluation.harness.errors import EvaluationError, refuse_unknown_classes
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.harness.read_ahead import BATCH_PIXELS, read_ahead
from cribo.evaluation.hummingbird.soft_labels import SoftLabels, packed, soft_labels
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World

ASPECT = [3 / 4, 4 / 3]  # width / height of a crop


@dataclass(frozen=True)
class Augmentation:
    """crop_area: range of a crop's share of the photo; jitter: colour factors are drawn from 1 ± this, the hue shift from
    ± this, each applied with `probability`."""

    crop_area: tuple[float, float]
    jitter: float
    probability: float


@dataclass(frozen=True)
class Copies:
    """How photos become patches: each yields `passes` copies of `size` × `size` px, augmented, or of the whole photo if
    `augmentation` is None. `rare_first` chooses `patches` patches of each copy; None keeps all.

    Every random draw is a function of (seed, pass, photo).
    """

    size: int
    passes: int
    augmentation: Augmentation | None
    patches: int | None
    seed: int


@dataclass(frozen=True)
class Labelling:
    """The values of a mask's pixels, and the columns that count them. Each of the `classes` classes has a column. Void,
    value `ignore`, counts in column `void`: a class's column or the one after the last; None: it does not count."""

    classes: int
    ignore: int
    void: int | None

    @property
    def columns(self) -> int:
        """Number of columns: one per class, and one more if void has its own."""
        return self.classes if self.void is None else max(self.classes, self.void + 1)


@dataclass(frozen=True)
class Soft:
    """Patches, with the soft labels of all processes' rows in place of hard labels."""

    patches: Patches
    labels: SoftLabels


def soft_patches(
    encoder: Encoder,
    records: Sequence[Record],
    copies: Copies,
    labelling: Labelling,
    world: World,
    workers: int,
    memory_gb: float,
    what: str,
) -> Soft:
    """Encode every copy of every photo. Item number = pass · photos + photo; the processes share the items.

    Raises:
        EvaluationError: a photo has no mask, or its mask holds an unknown value.
        DataError: a file is missing or corrupt.
    """
    side = copies.size // encoder.patch_size
    items, rows_each = copies.passes * len(records), min(copies.patches or side**2, side**2)
    step = max(1, BATCH_PIXELS // copies.size**2)
    batches = [range(i, min(i + step, items)) for i in range(0, items, step)]
    shares = tuple(tuple(i for batch in batches[rank :: world.size] for i in batch) for rank in range(world.size))
    own = shares[world.rank]
    starts = np.arange(items + 1) * rows_each
    rows = (np.array(own, dtype=np.int64)[:, None] * rows_each + np.arange(rows_each)).ravel()
    features = feature_rows(len(rows), encoder.width, memory_gb)
    progress, filled, labels = Progress(what, max(1, len(own))), 0, {}

    def read(item: int) -> tuple[UInt8[np.ndarray, "S S 3"], Int16[np.ndarray, "n C"]]:
        copy, photo = divmod(item, len(records))
        rng = np.random.default_rng([copies.seed, copy, photo])
        image, mask = square(records[photo], copies.size, copies.augmentation, rng)
        return image, class_counts(mask, encoder.patch_size, labelling, records[photo])

    for batch, loaded in read_ahead(batches[world.rank :: world.size], read, workers):
        _, maps = encoder(torch.from_numpy(np.stack([image for image, _ in loaded])).permute(0, 3, 1, 2))
        maps = torch.nn.functional.normalize(maps, dim=-1).cpu().flatten(1, 2)
        for item, patches, (_, own_counts) in zip(batch, maps, loaded, strict=True):
            chosen = rare_first(own_counts, rows_each, np.random.default_rng([copies.seed, *divmod(item, len(records)), 1]))
            features[filled : filled + rows_each] = patches[torch.from_numpy(chosen)]
            labels[item] = packed(own_counts[chosen])
            filled += rows_each
        if world.main:
            progress.add(len(batch))
    patches = Patches(features, rows, np.zeros(0, np.uint8), ((side, side),) * items, starts, shares)
    return Soft(patches, soft_labels(labels, items, rows_each, labelling.columns, world))


def square(
    record: Record, size: int, augmentation: Augmentation | None, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "S S"]]:
    """Return a photo (scaled bilinearly) and its mask (by nearest) at `size` × `size` px, augmented if requested.

    Raises:
        EvaluationError: the photo has no mask, or one of another size.
    """
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
    mask: UInt8[np.ndarray, "S S"], patch: int, labelling: Labelling, record: Record
) -> Int16[np.ndarray, "n C"]:
    """Count the pixels of each class in each patch, row by row; C = `labelling.columns`. Raises EvaluationError, naming the
    record's mask, for an unknown class."""
    side = mask.shape[0] // patch
    squares = mask.reshape(side, patch, side, patch).swapaxes(1, 2).reshape(side * side, patch * patch)
    refuse_unknown_classes(squares, labelling.classes, labelling.ignore, record.mask)
    is_void, width = squares == labelling.ignore, labelling.columns
    squares = np.where(is_void, labelling.void or 0, squares).astype(np.int64)
    bins = np.arange(len(squares))[:, None] * width + squares
    counted = bins[~is_void] if labelling.void is None else bins.ravel()
    return np.bincount(counted, minlength=len(squares) * width).reshape(-1, width).astype(np.int16)


def rare_first(counts: Int16[np.ndarray, "n C"], kept: int, rng: np.random.Generator) -> np.ndarray:
    """Return the indices, ascending, of the `kept` patches with the lowest scores. To score a patch, count for each of its
    classes the photo's patches that have it, sum the counts, and multiply by a uniform random number. So patches with rare
    classes stay more often; patches without any class come last."""
    if kept == len(counts):
        return np.arange(kept)
    present = (counts > 0).astype(np.int64)
    scores = np.where(present.any(axis=1), (present @ present.sum(axis=0)) * rng.random(len(counts)), math.inf)
    return np.sort(np.argsort(scores, kind="stable")[:kept])
