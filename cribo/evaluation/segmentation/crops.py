"""Training crops from mmsegmentation's pipeline; each is a function of (seed, iteration, place in the batch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from mmcv.transforms import Compose, RandomFlip, RandomResize
from mmseg.datasets.transforms import PhotoMetricDistortion, RandomCrop
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cribo.data.batches.streams import seed_of
from cribo.data.batches.workers import start_worker
from cribo.data.prepared.images import read_image, read_mask
from cribo.data.prepared.readers import Record
from cribo.evaluation.harness.errors import EvaluationError, refuse_unknown_classes

ORDER, AUGMENTATION, DECODER, DROP_PATH = range(4)  # random streams that must stay separate


class Crop(NamedTuple):
    """A crop of a photo (BGR) and its classes, at most crop × crop px; a smaller one is padded after normalisation."""

    image: UInt8[Tensor, "3 H W"]
    mask: UInt8[Tensor, "1 H W"]


class Crops(Dataset):
    """An endless stream of training crops, by item number n. Each pass over the photos has its own permutation of them."""

    def __init__(self, records: Sequence[Record], settings: dict, classes: int, ignore: int):
        self.records, self.seed, self.classes, self.ignore = records, settings["seed"], classes, ignore
        self.order, self.of_epoch = np.arange(0), -1
        self.transform = Compose(
            [
                RandomResize(scale=tuple(settings["scale"]), ratio_range=tuple(settings["ratio"]), keep_ratio=True),
                RandomCrop((settings["crop"],) * 2, cat_max_ratio=settings["max_class_share"], ignore_index=ignore),
                RandomFlip(prob=0.5),
                PhotoMetricDistortion(),
            ]
        )

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, n: int) -> Crop:
        record = self.records[self.photo(n)]
        image, mask = read_photo(record, self.classes, self.ignore)
        with numpy_stream(self.seed, AUGMENTATION, n):
            out = self.transform({"img": image, "gt_seg_map": mask, "img_shape": mask.shape, "seg_fields": ["gt_seg_map"]})
        image, mask = (np.ascontiguousarray(out[key]) for key in ("img", "gt_seg_map"))
        return Crop(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask)[None])

    def photo(self, n: int) -> int:
        """Return the index of the photo that item n shows."""
        epoch, place = divmod(n, len(self.records))
        if epoch != self.of_epoch:
            self.order = np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.records))
            self.of_epoch = epoch
        return int(self.order[place])


def read_photo(record: Record, classes: int, ignore: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the pixels as mmsegmentation expects them, uint8 BGR [H, W, 3], and the classes, uint8 [H, W].

    Raises:
        EvaluationError: the photo has no mask, or the mask has another size or holds unknown classes.
        DataError: a file is missing or corrupt.
    """
    if record.mask is None:
        raise EvaluationError(f"{record.image} has no mask: segmentation needs one for every image")
    image, mask = read_image(record.image), read_mask(record.mask)
    if mask.shape != image.shape[:2]:
        raise EvaluationError(
            f"{record.image} has {image.shape[1]} × {image.shape[0]} px, its mask {mask.shape[1]} × {mask.shape[0]}"
        )
    refuse_unknown_classes(mask, classes, ignore, record.mask)
    return np.ascontiguousarray(image[..., ::-1]), mask


@contextmanager
def numpy_stream(*stream: int) -> Iterator[None]:
    """Seed numpy's global state, from which mmcv's and mmsegmentation's transforms draw, for `stream`; restore it after."""
    before = np.random.get_state()
    np.random.seed(seed_of(*stream))
    try:
        yield
    finally:
        np.random.set_state(before)


class _Places(Sampler):
    """The item numbers of this process's share of each iteration's batch."""

    def __init__(self, batch: int, first: int, last: int, rank: int, size: int):
        self.batch, self.first, self.last, self.rank, self.share = batch, first, last, rank, batch // size

    def __iter__(self) -> Iterator[list[int]]:
        for iteration in range(self.first, self.last):
            start = iteration * self.batch + self.rank * self.share
            yield list(range(start, start + self.share))


def load_crops(crops: Crops, batch: int, first: int, last: int, rank: int, size: int, workers: int) -> DataLoader:
    """Return a loader of the batches (lists of `Crop`) of iterations first … last − 1 on process `rank` of `size`."""
    return DataLoader(
        crops,
        batch_sampler=_Places(batch, first, last, rank, size),
        num_workers=workers,
        worker_init_fn=start_worker,
        collate_fn=list,
        prefetch_factor=4 if workers else None,
    )
