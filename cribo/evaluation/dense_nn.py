"""Dense nearest-neighbour retrieval (§4.1, Table 1): does a patch find patches of its class in other photos?

No training: features of the training images' patches are the memory, their classes vote for the patches of the
validation images. What the paper leaves open, and what is done here, stands in docs/protocols.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, UInt8

from cribo.data.images import read_mask
from cribo.data.readers import PreparedSet, Record
from cribo.evaluation.features import EvaluationError, Patches, extract
from cribo.evaluation.miou import IoU, confusion, iou
from cribo.evaluation.neighbours import nearest
from cribo.evaluation.pixels import pixel_classes
from cribo.evaluation.progress import Progress
from cribo.evaluation.subsample import draws
from cribo.evaluation.vote import vote, winners
from cribo.model.encoder import Encoder

QUERIES = 16384  # patches searched for at once: bounds memory, not results


@dataclass(frozen=True)
class Settings:
    """k: neighbours; temperature: of a vote's weight, None for equal weights; subsample: factors; runs: draws a factor
    above 1; seed: of the draws."""

    k: int
    temperature: float | None
    subsample: tuple[int, ...]
    runs: int
    seed: int


@dataclass(frozen=True)
class Run:
    """One memory judged: images and keys in it, neighbours that voted (k, or all keys where there are fewer), scores."""

    images: int
    keys: int
    neighbours: int
    patch: IoU
    pixel: IoU


@dataclass(frozen=True)
class DenseNN:
    """Runs by factor, in ascending order, and what was compared."""

    runs: dict[int, list[Run]]
    counts: dict[str, int]


def evaluate(encoder: Encoder, data: PreparedSet, settings: Settings, workers: int = 0) -> DenseNN:
    """Judge `encoder` on `data`: memory from split "train", queries from split "val".

    Features are extracted once; each run takes its images' rows of them.

    Raises:
        EvaluationError: the data cannot be evaluated, or a draw holds no labelled patch.
        DataError: a file is missing or corrupt.
    """
    train, val = (data.splits.get(split, ()) for split in ("train", "val"))
    if not train or not val:
        raise EvaluationError(f"{data.name} needs images in both splits: it has {len(train)} train and {len(val)} val")
    classes, ignore = len(data.classes), data.ignore
    memory = _labelled(extract(encoder, train, classes, ignore, workers, f"train features of {data.name}"), ignore)
    queries = extract(encoder, val, classes, ignore, workers, f"val features of {data.name}")
    truth = [_truth(record, classes, ignore) for record in val]
    plans = {
        factor: [
            (images, np.isin(memory.image, images)) for images in draws(len(train), factor, settings.runs, settings.seed)
        ]
        for factor in sorted(settings.subsample)
    }
    keys = sum(int(rows.sum()) for plan in plans.values() for _, rows in plan)
    progress = Progress(f"neighbours on {data.name}", keys * len(queries.labels))
    runs: dict[int, list[Run]] = {}
    for factor, plan in plans.items():
        runs[factor] = []
        for n, (images, rows) in enumerate(plan):
            if not rows.any():
                raise EvaluationError(
                    f"run {n} at 1/{factor} of {data.name} draws {len(images)} images without a "
                    "labelled patch: lower the factor"
                )
            bank = memory if rows.all() else memory.at(rows)
            runs[factor].append(
                _judge(
                    bank,
                    len(images),
                    queries,
                    truth,
                    settings,
                    classes,
                    ignore,
                    encoder.shift.device,
                    progress,
                    f"1/{factor} run {n + 1} of {len(plan)}",
                )
            )
    counts = {
        "classes": classes,
        "train_images": len(train),
        "val_images": len(val),
        "keys": len(memory.labels),
        "queries": len(queries.labels),
        "queries_scored": int((queries.labels != ignore).sum()),
        "pixels_scored": int(sum((mask != ignore).sum() for mask in truth)),
    }
    return DenseNN(runs, counts)


@dataclass(frozen=True)
class _Memory:
    """Labelled patches only: features `[M, d]`, labels `[M]`, and the image each belongs to `[M]`, ascending."""

    features: torch.Tensor
    labels: UInt8[np.ndarray, " M"]
    image: Int[np.ndarray, " M"]

    def at(self, rows: np.ndarray) -> _Memory:
        return _Memory(self.features[torch.from_numpy(rows)], self.labels[rows], self.image[rows])


def _labelled(patches: Patches, ignore: int) -> _Memory:
    image = np.repeat(np.arange(len(patches.grids)), np.diff(patches.starts))
    memory = _Memory(patches.features, patches.labels, image)
    rows = patches.labels != ignore
    return memory if rows.all() else memory.at(rows)


def _truth(record: Record, classes: int, ignore: int) -> UInt8[np.ndarray, "H W"]:
    """The mask at the photo's own size. Scaling down for patch labels may skip a wrong value; this does not."""
    mask = read_mask(record.mask)
    wrong = mask[(mask >= classes) & (mask != ignore)]
    if wrong.size:
        raise EvaluationError(f"{record.mask} holds {wrong[0]}, which is neither one of {classes} classes nor {ignore}")
    return mask


def _judge(
    bank: _Memory,
    images: int,
    queries: Patches,
    truth: Sequence[np.ndarray],
    settings: Settings,
    classes: int,
    ignore: int,
    device: torch.device,
    progress: Progress,
    note: str,
) -> Run:
    """Let the patches of one memory vote, and score patches and pixels."""
    keys, labels = bank.features.to(device), torch.from_numpy(bank.labels)
    k = min(settings.k, len(keys))
    patch, pixel = np.zeros((2, classes, classes), np.int64)
    for block in _blocks(queries.starts):
        rows = slice(queries.starts[block[0]], queries.starts[block[-1] + 1])
        similarities, found = nearest(queries.features[rows].to(device), keys, k)
        # On the CPU: adding floating point numbers into classes has no fixed order on a GPU.
        shares = vote(similarities.cpu(), labels[found.cpu()], classes, settings.temperature)
        patch += confusion(queries.labels[rows], winners(shares).numpy(), classes, ignore)
        shares, first = shares.to(device), queries.starts[block[0]]
        for i in block:
            own = shares[queries.starts[i] - first : queries.starts[i + 1] - first].unflatten(0, queries.grids[i])
            pixel += confusion(truth[i], pixel_classes(own, truth[i].shape).cpu().numpy(), classes, ignore)
        progress.add(len(similarities) * len(keys), note)
    try:
        return Run(images, len(keys), k, iou(patch), iou(pixel))
    except ValueError as error:
        raise EvaluationError(f"the val split: {error}") from None


def _blocks(starts: Int[np.ndarray, " n+1"]) -> Iterator[range]:
    """Runs of whole images with at most QUERIES patches together (or a single image)."""
    first = 0
    for i in range(1, len(starts)):
        if i == len(starts) - 1 or starts[i + 1] - starts[first] > QUERIES:
            yield range(first, i)
            first = i
