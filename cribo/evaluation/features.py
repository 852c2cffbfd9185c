"""Labelled patch features of a split's images at their own resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from cribo.data.images import read_image, read_mask
from cribo.data.readers import Record
from cribo.evaluation.patch_labels import patch_labels
from cribo.evaluation.progress import Progress
from cribo.model.encoder import Encoder

BATCH_PIXELS = 64 * 224 * 224  # pixels of one size encoded at once; a constant, so that results know no batch size
BATCHES_AHEAD = 2  # batches that are read while one is encoded


class EvaluationError(ValueError):
    """Photos, masks or settings that cannot be evaluated: one sentence for the user."""


@dataclass(frozen=True)
class Patches:
    """Every patch of a list of images, image by image, each row by row.

    Attributes:
        features: `[P, d]` fp32 on the CPU, L2-normalised.
        labels: `[P]` class ids, or `ignore` for a patch without a labelled pixel.
        grids: (h, w) in patches, one for each image.
        starts: `[n + 1]`; image i owns rows starts[i] to starts[i + 1].
    """

    features: Float[Tensor, "P d"]
    labels: UInt8[np.ndarray, " P"]
    grids: tuple[tuple[int, int], ...]
    starts: Int[np.ndarray, " n+1"]


def extract(
    encoder: Encoder, records: Sequence[Record], classes: int, ignore: int, workers: int = 0, what: str = "features"
) -> Patches:
    """Encode `records`, images of one size in a batch, and label their patches; the order is that of `records`.

    Images whose sides are no multiple of the patch are first scaled down to the next lower one: bicubic with
    antialiasing, their masks by nearest neighbour. `workers` threads read ahead (at least one).

    Raises:
        EvaluationError: an image is smaller than a patch, has no mask, or its mask has another size or unknown classes.
        DataError: a file is missing or corrupt.
    """
    p = encoder.patch_size
    grids = tuple((record.height // p, record.width // p) for record in records)
    for record, (h, w) in zip(records, grids, strict=True):
        if not h * w:
            raise EvaluationError(f"{record.image} has {record.width} × {record.height} px: less than one patch of {p} px")
        if record.mask is None:
            raise EvaluationError(f"{record.image} has no mask: dense evaluation needs one for every image")
    starts = np.concatenate([[0], np.cumsum([h * w for h, w in grids], dtype=np.int64)])
    features = torch.empty(int(starts[-1]), encoder.width)
    labels = np.empty(starts[-1], np.uint8)
    progress = Progress(what, len(records))
    for batch, loaded in _read_ahead(_batches(grids, p), records, p, classes, ignore, max(1, workers)):
        images = torch.from_numpy(np.stack([image for image, _ in loaded])).permute(0, 3, 1, 2)
        _, maps = encoder(images.to(encoder.shift.device))
        maps = torch.nn.functional.normalize(maps, dim=-1).cpu().flatten(1, 2)
        for i, own, (_, label) in zip(batch, maps, loaded, strict=True):
            features[starts[i] : starts[i + 1]] = own
            labels[starts[i] : starts[i + 1]] = label.ravel()
        progress.add(len(batch))
    return Patches(features, labels, grids, starts)


def _batches(grids: Sequence[tuple[int, int]], p: int) -> list[list[int]]:
    """Indices of images with one grid, at most BATCH_PIXELS together (or a single image)."""
    by_grid: dict[tuple[int, int], list[int]] = {}
    for i, grid in enumerate(grids):
        by_grid.setdefault(grid, []).append(i)
    batches = []
    for (h, w), members in by_grid.items():
        size = max(1, BATCH_PIXELS // (h * w * p * p))
        batches += [members[start : start + size] for start in range(0, len(members), size)]
    return batches


Loaded = tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "h w"]]


def _read_ahead(
    batches: list[list[int]], records: Sequence[Record], p: int, classes: int, ignore: int, workers: int
) -> Iterator[tuple[list[int], list[Loaded]]]:
    """Batches with what they read, in order; decoders and the resampling release Python's lock, so threads do."""
    with ThreadPoolExecutor(workers) as pool:
        queue: list[list[Future[Loaded]]] = []
        try:
            for n, batch in enumerate(batches):
                while len(queue) < min(n + BATCHES_AHEAD, len(batches)) - n:
                    coming = batches[n + len(queue)]
                    queue.append([pool.submit(_read, records[i], p, classes, ignore) for i in coming])
                yield batch, [future.result() for future in queue.pop(0)]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(record: Record, p: int, classes: int, ignore: int) -> Loaded:
    """An image at a multiple of the patch, and its patch labels."""
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
