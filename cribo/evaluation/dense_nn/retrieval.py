"""Dense nearest-neighbour retrieval (§4.1, Table 1): does a patch find patches of its class in other photos?

Nothing is trained. The features of the training images' patches form the memory, and their classes vote for the class of
each validation patch. docs/protocols.md says what the paper leaves open and what is done here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from cribo.data.prepared.images import read_mask
from cribo.data.prepared.readers import PreparedSet, Record
from cribo.evaluation.dense_nn.subsample import draws
from cribo.evaluation.features.patch_features import Patches, extract
from cribo.evaluation.harness.errors import EvaluationError, refuse_unknown_classes, train_and_val
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.miou import IoU, confusion, iou
from cribo.evaluation.neighbours.shared_search import shared_search
from cribo.evaluation.neighbours.vote import vote, winners
from cribo.evaluation.pixels import pixel_classes
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World

QUERIES = 16384  # patches classified at once; limits memory and does not affect results


@dataclass(frozen=True)
class Settings:
    """k: number of neighbours; temperature: in a vote's weight, None for equal weights; subsample: factors by which the
    memory is reduced; runs: draws per factor above 1; seed: of the draws."""

    k: int
    temperature: float | None
    subsample: tuple[int, ...]
    runs: int
    seed: int


@dataclass(frozen=True)
class Run:
    """The scores with one memory; its images and keys; how many neighbours voted (k, or all keys if there are fewer)."""

    images: int
    keys: int
    neighbours: int
    patch: IoU
    pixel: IoU


@dataclass(frozen=True)
class DenseNN:
    """The runs of each factor, factors ascending, and the numbers of images, keys, queries and pixels compared."""

    runs: dict[int, list[Run]]
    counts: dict[str, int]


def evaluate(
    encoder: Encoder, data: PreparedSet, settings: Settings, world: World, workers: int = 0, memory_gb: float = math.inf
) -> DenseNN:
    """Evaluate `encoder` on `data`: memory from split "train", queries from "val". Every process returns the result.

    Features are extracted once, and each run uses the rows of its images. The result depends neither on the number of
    processes nor on whether the features fit into each process's `memory_gb`.

    Raises:
        EvaluationError: the data cannot be evaluated, or a draw holds no labelled patch.
        DataError: a file is missing or corrupt.
    """
    train, val = train_and_val(data)
    classes, ignore = len(data.classes), data.ignore
    factors = sorted(settings.subsample)
    drawn = {factor: draws(len(train), factor, settings.runs, settings.seed) for factor in factors}
    used = np.unique(np.concatenate([images for runs in drawn.values() for images in runs]))  # other photos are not read
    memory, queries = (
        extract(encoder, records, classes, ignore, world, workers, memory_gb, f"{split} features of {data.name}")
        for split, records in (("train", [train[i] for i in used]), ("val", val))
    )
    truth = [_truth(val[i], classes, ignore) for i in queries.shares[world.rank]]
    image_of = np.repeat(used, np.diff(memory.starts))
    labelled = memory.labels != ignore
    plans = {factor: [(images, labelled & np.isin(image_of, images)) for images in drawn[factor]] for factor in factors}
    work = sum(int(kept[memory.rows].sum()) for plan in plans.values() for _, kept in plan) * len(queries.labels)
    progress = Progress(f"neighbours on {data.name}", work)
    runs: dict[int, list[Run]] = {}
    for factor, plan in plans.items():
        runs[factor] = []
        for n, (images, kept) in enumerate(plan):
            if not kept.any():
                remedy = "lower the factor" if factor > 1 else "its masks are void wherever patches are, look at them"
                raise EvaluationError(
                    f"run {n} at 1/{factor} of {data.name} draws {len(images)} images without a labelled patch: {remedy}"
                )
            k, note = min(settings.k, int(kept.sum())), f"1/{factor} run {n + 1} of {len(plan)}"
            found = shared_search(queries, memory, kept, k, world, progress, note)
            patch, pixel = _scores(found, memory, queries, truth, settings.temperature, classes, ignore, world)
            runs[factor].append(Run(len(images), int(kept.sum()), k, patch, pixel))
    pixels = world.sum(torch.tensor(sum(int((mask != ignore).sum()) for mask in truth), device=world.device))
    counts = {
        "classes": classes,
        "train_images": len(train),
        "val_images": len(val),
        "keys": int(labelled.sum()),
        "queries": len(queries.labels),
        "queries_scored": int((queries.labels != ignore).sum()),
        "pixels_scored": int(pixels),
    }
    return DenseNN(runs, counts)


def _truth(record: Record, classes: int, ignore: int) -> UInt8[np.ndarray, "H W"]:
    """Return the mask at the photo's own size, all values checked; scaling down for patch labels may skip a wrong one."""
    mask = read_mask(record.mask)
    refuse_unknown_classes(mask, classes, ignore, record.mask)
    return mask


def _scores(
    found: Iterator[tuple[list[int], Float[Tensor, "Q k"], Int[np.ndarray, "Q k"]]],
    memory: Patches,
    queries: Patches,
    truth: Sequence[np.ndarray],
    temperature: float | None,
    classes: int,
    ignore: int,
    world: World,
) -> tuple[IoU, IoU]:
    """Let the neighbours vote; return the patch and pixel scores over the images of all processes."""
    own = queries.shares[world.rank]
    totals = np.zeros((2, classes, classes), np.int64)
    for positions, similarities, rows in found:
        starts = np.cumsum([0, *(queries.starts[own[p] + 1] - queries.starts[own[p]] for p in positions)])
        for block in _blocks(starts):
            first, last = starts[block[0]], starts[block[-1] + 1]
            # Vote on the CPU: on a GPU, floating-point sums into classes have no fixed order.
            labels = torch.from_numpy(memory.labels[rows[first:last]])
            shares = vote(similarities[first:last], labels, classes, temperature)
            called, on_device = winners(shares).numpy(), shares.to(world.device)
            for n in block:
                position, span = positions[n], slice(starts[n] - first, starts[n + 1] - first)
                image = own[position]
                patches = queries.labels[queries.starts[image] : queries.starts[image + 1]]
                totals[0] += confusion(patches, called[span], classes, ignore)
                predicted = pixel_classes(on_device[span].unflatten(0, queries.grids[image]), truth[position].shape)
                totals[1] += confusion(truth[position], predicted.cpu().numpy(), classes, ignore)
    patch, pixel = world.sum(torch.from_numpy(totals).to(world.device)).cpu().numpy()
    try:
        return iou(patch), iou(pixel)
    except ValueError as error:
        raise EvaluationError(f"the val split: {error}") from None


def _blocks(starts: Int[np.ndarray, " n+1"]) -> Iterator[range]:
    """Yield blocks of consecutive whole images: at most QUERIES patches per block, or a single image."""
    first = 0
    for i in range(1, len(starts)):
        if i == len(starts) - 1 or starts[i + 1] - starts[first] > QUERIES:
            yield range(first, i)
            first = i
