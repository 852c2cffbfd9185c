"""Batches of view pairs: every byte is a function of (seed, epoch, image), so workers and restarts change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cribo.data.batches.positions import patch_classes, patch_positions
from cribo.data.batches.streams import LOCAL_CROPS, ORDER, VIEWS
from cribo.data.batches.views import draw_view, local_views, render_view
from cribo.data.batches.workers import start_worker
from cribo.data.prepared.images import read_image, read_mask
from cribo.data.prepared.readers import Record


class Batch(NamedTuple):
    """One step's batch as the loader yields it, in host memory."""

    views: UInt8[Tensor, "B V 3 S S"]
    boxes: Float[Tensor, "B V 5"]  # crops in px of the original image, see cribo.data.batches.positions
    seeds: Int[Tensor, "B K"]  # tokens that initialise the clusters
    image_ids: Int[Tensor, " B"]
    classes: UInt8[Tensor, "B n"]  # of each patch of both views, 255 = void; n = 0 unless an oracle asks for masks
    crops: UInt8[Tensor, "B C 3 s s"]  # local crops; C = 0 unless `views.local` asks for some


class Inputs(NamedTuple):
    """A `Batch` on the device, as networks take it: pixels as normalised floats, all first views before all second ones."""

    images: Float[Tensor, "VB 3 S S"]  # V views: two, but one for MAE
    boxes: Float[Tensor, "B V 5"]
    seeds: Int[Tensor, "B K"]
    image_ids: Int[Tensor, " B"]
    classes: UInt8[Tensor, "B n"]
    crops: Float[Tensor, "CB 3 s s"]


class ViewPairs(Dataset):
    """Item (epoch, index) → a `Batch` without its first dimension: the views of image `index` as drawn in that epoch.

    Args:
        views: `pretrain.views` of params.yaml.
        grid: patches along a side of a view.
        K: number of tokens that initialise the clusters.
        masks: whether to read the classes of patches.
        count: views per image.
    """

    def __init__(
        self, records: Sequence[Record], views: dict, grid: int, K: int, seed: int, masks: bool = False, count: int = 2
    ):
        self.records, self.views, self.grid, self.K, self.seed, self.masks = records, views, grid, K, seed, masks
        self.count = count

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, index = key
        rng = np.random.default_rng([self.seed, VIEWS, epoch, index])
        image = read_image(self.records[index].image)
        draws = [draw_view(rng, image.shape[1], image.shape[0], view, self.views) for view in range(self.count)]
        seeds = rng.choice(2 * self.grid**2, self.K, replace=False)
        boxes = torch.tensor([draw.box for draw in draws], dtype=torch.float32)
        return Batch(
            torch.from_numpy(np.stack([render_view(image, draw, self.views["size"]) for draw in draws])),
            boxes,
            torch.from_numpy(seeds.astype(np.int64)),
            torch.tensor(index),
            self._classes(index, boxes) if self.masks else torch.empty(0, dtype=torch.uint8),
            self._crops(image, epoch, index) if "local" in self.views else torch.empty(0, 3, 1, 1, dtype=torch.uint8),
        )

    def _crops(self, image: UInt8[np.ndarray, "H W 3"], epoch: int, index: int) -> UInt8[Tensor, "C 3 s s"]:
        # Local crops have their own random stream, so the two views are the same with and without them.
        rng = np.random.default_rng([self.seed, LOCAL_CROPS, epoch, index])
        return torch.from_numpy(local_views(rng, image, self.views))

    def _classes(self, index: int, boxes: Float[Tensor, "2 5"]) -> UInt8[Tensor, " n"]:
        mask = torch.from_numpy(read_mask(self.records[index].mask))
        return patch_classes(mask, patch_positions(boxes[None], self.grid)[0])


def batches_of(
    images: int, batch: int, seed: int, first_step: int, end: int, rank: int, processes: int
) -> Iterator[list[tuple[int, int]]]:
    """Keys (epoch, index) of each step's batch on this process, for steps first_step … end − 1.

    Each epoch visits the images in a fresh permutation and drops those that do not fill its last batch. Each process takes
    a contiguous slice of the batch, so that groups of images stay together on any number of processes.
    """
    per_epoch, share = images // batch, batch // processes
    order, of_epoch = None, -1
    for step in range(first_step, end):
        epoch, place = divmod(step, per_epoch)
        if epoch != of_epoch:
            order, of_epoch = np.random.default_rng([seed, ORDER, epoch]).permutation(images), epoch
        start = place * batch + rank * share
        yield [(epoch, int(i)) for i in order[start : start + share]]


class _Keys(torch.utils.data.Sampler):
    def __init__(self, *args: int):
        self.args = args

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return batches_of(*self.args)


def load_batches(
    pairs: ViewPairs, batch: int, first_step: int, end: int, rank: int, processes: int, workers: int
) -> DataLoader:
    """A loader of the batches of steps first_step … end − 1; it spans all epochs, so its workers start only once."""
    keys = _Keys(len(pairs), batch, pairs.seed, first_step, end, rank, processes)
    return DataLoader(
        pairs,
        batch_sampler=keys,
        num_workers=workers,
        worker_init_fn=start_worker,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )


def normalised(
    x: UInt8[Tensor, "B V 3 h w"], mean: Float[Tensor, "3 1 1"], std: Float[Tensor, "3 1 1"]
) -> Float[Tensor, "VB 3 h w"]:
    """(x / 255 − mean) / std, all first views before all second ones."""
    return ((x.transpose(0, 1).flatten(0, 1).float() / 255) - mean) / std


def to_device(
    batch: Batch, device: torch.device, mean: Sequence[float], std: Sequence[float], normalise: Callable = normalised
) -> Inputs:
    """Move a batch to `device` and normalise it; `mean` and `std` are per RGB channel, for values in [0, 1].

    `normalise` is `normalised`, or a compiled form of it.
    """
    views, *rest, crops = _sent(batch, device)
    statistics = _statistics(tuple(mean), device), _statistics(tuple(std), device)
    images, crops = (normalise(x, *statistics) for x in (views, crops))
    return Inputs(images, *rest, crops)


def _sent(batch: Batch, device: torch.device) -> list[Tensor]:
    """Copy the unchanged batch to `device`. A GPU copies it while it still computes the previous step."""
    if device.type != "cuda":
        return [x.to(device) for x in batch]
    copies, now = _copies(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copies):
        there = [x.to(device, non_blocking=True) for x in batch]
    now.wait_stream(copies)
    for x in there:
        x.record_stream(now)  # its memory may be reused only after this step has used it
    return there


@cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


@cache
def _statistics(values: tuple[float, ...], device: torch.device) -> Float[Tensor, "3 1 1"]:
    """`values` as a tensor, made only once: copying it at every step would make the host wait for the device."""
    return torch.tensor(values, device=device).view(3, 1, 1)
