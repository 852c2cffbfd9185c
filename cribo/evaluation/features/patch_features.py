"""Labelled patch features of a split's images at their own resolution. Several processes can share the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from cribo.data.prepared.images import read_image, read_mask
from cribo.data.prepared.readers import Record
from cribo.evaluation.features.feature_rows import feature_rows
from cribo.evaluation.features.patch_labels import patch_labels
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.harness.read_ahead import BATCH_PIXELS, read_ahead
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World


@dataclass(frozen=True)
class Patches:
    """All P patches of a list of images, in image order, row by row within an image; features only of this process's images.

    Attributes:
        features: `[p, d]` fp32 on the CPU, L2-normalised; all P rows if there is one process.
        rows: `[p]` indices of these features among the P rows, ascending.
        labels: `[P]` class ids, or `ignore` for a patch without a labelled pixel.
        grids: (h, w) in patches, one per image.
        starts: `[n + 1]`; image i owns rows starts[i] up to, but not including, starts[i + 1].
        shares: for each process, the indices of the images whose features it holds, ascending.
    """

    features: Float[Tensor, "p d"]
    rows: Int[np.ndarray, " p"]
    labels: UInt8[np.ndarray, " P"]
    grids: tuple[tuple[int, int], ...]
    starts: Int[np.ndarray, " n+1"]
    shares: tuple[tuple[int, ...], ...]


def extract(
    encoder: Encoder,
    records: Sequence[Record],
    classes: int,
    ignore: int,
    world: World,
    workers: int = 0,
    memory_gb: float = math.inf,
    what: str = "features",
) -> Patches:
    """Encode `records`, images of one grid of patches in a batch, and label their patches, in the order of `records`.

    The batches do not depend on the number of processes; each process encodes every `world.size`-th batch. Features that
    take more than `memory_gb` are kept in a temporary file.

    An image whose sides are not multiples of the patch is first scaled down to the next lower multiples: bicubic with
    antialiasing, its mask by nearest neighbour. `workers` threads read ahead (at least one).

    Raises:
        EvaluationError: an image is smaller than a patch, has no mask, or its mask has another size or unknown classes.
        DataError: a file is missing or corrupt.
    """
    p = encoder.patch_size
    grids = tuple((record.height // p, record.width // p) for record in records)
    for record, (h, w) in zip(records, grids, strict=True):
        if not h * w:
            raise EvaluationError(
                f"{record.image} has {record.width} × {record.height} px, less than one patch of {p} px: leave it out"
            )
        if record.mask is None:
            raise EvaluationError(f"{record.image} has no mask: dense evaluation needs one for every image")
    starts = np.concatenate([[0], np.cumsum([h * w for h, w in grids], dtype=np.int64)])
    batches = _batches(grids, p)
    shares = tuple(tuple(sorted(i for batch in batches[rank :: world.size] for i in batch)) for rank in range(world.size))
    own = shares[world.rank]
    rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in own] or [np.empty(0, np.int64)])
    places = dict(zip(own, np.cumsum([0, *(starts[i + 1] - starts[i] for i in own)]), strict=False))
    features = feature_rows(len(rows), encoder.width, memory_gb)
    labels = torch.zeros(int(starts[-1]), dtype=torch.uint8)
    progress = Progress(what, len(own))
    read = partial(_read, p=p, classes=classes, ignore=ignore)
    for batch, loaded in read_ahead(batches[world.rank :: world.size], lambda i: read(records[i]), workers):
        images = torch.from_numpy(np.stack([image for image, _ in loaded])).permute(0, 3, 1, 2)
        _, maps = encoder(images)
        maps = torch.nn.functional.normalize(maps, dim=-1).cpu().flatten(1, 2)
        for i, patches, (_, label) in zip(batch, maps, loaded, strict=True):
            features[places[i] : places[i] + len(patches)] = patches
            labels[starts[i] : starts[i + 1]] = torch.from_numpy(label).flatten()
        if world.main:
            progress.add(len(batch))
    labels = world.sum(labels.to(world.device)).cpu().numpy()  # labels of other processes' images are zero here
    return Patches(features, rows, labels, grids, starts, shares)


def _batches(grids: Sequence[tuple[int, int]], p: int) -> list[list[int]]:
    """Group the indices of images with the same grid into batches of at most BATCH_PIXELS (or a single image)."""
    by_grid: dict[tuple[int, int], list[int]] = {}
    for i, grid in enumerate(grids):
        by_grid.setdefault(grid, []).append(i)
    batches = []
    for (h, w), members in by_grid.items():
        size = max(1, BATCH_PIXELS // (h * w * p * p))
        batches += [members[start : start + size] for start in range(0, len(members), size)]
    return batches


Loaded = tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "h w"]]


def _read(record: Record, p: int, classes: int, ignore: int) -> Loaded:
    """Read an image, scaled to multiples of the patch, and its patch labels."""
    image, mask = read_image(record.image), read_mask(record.mask)
    for path, array in ((record.image, image), (record.mask, mask)):
        if array.shape[:2] != (record.height, record.width):
            raise EvaluationError(
                f"{path} has {array.shape[1]} × {array.shape[0]} px, and the data set's index says "
                f"{record.width} × {record.height}"
            )
    size = (record.width // p * p, record.height // p * p)
    if size != (record.width, record.height):
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    try:
        return image, patch_labels(mask, p, classes, ignore)
    except ValueError as error:
        raise EvaluationError(f"{record.mask}: {error}") from None
