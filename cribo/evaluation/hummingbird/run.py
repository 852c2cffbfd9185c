"""The community's dense retrieval protocol, open-hummingbird: square photos, soft labels, mIoU after matching classes.

This is not the paper's protocol (dense_nn/): its numbers are comparable to those that others publish under this name.
Source: github.com/vpariza/open-hummingbird-eval, version 2.0.0, whose slips are not repeated (docs/protocols.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from cribo.data.prepared.images import read_mask
from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.harness.errors import EvaluationError, train_and_val
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.harness.result import Meter, known_percent, percent, result
from cribo.evaluation.hummingbird.patches import Augmentation, Copies, Labelling, soft_patches
from cribo.evaluation.miou import IoU, confusion, iou
from cribo.evaluation.neighbours.shared_search import shared_search
from cribo.evaluation.pixels import pixel_classes
from cribo.model.encoder import Encoder
from cribo.params import Compute
from cribo.training.engine.distributed import World

BACKGROUND = "background"  # class 0 of VOC, Pascal Context and generated scenes; ADE20K and COCO-Stuff have none


@dataclass(frozen=True)
class Settings:
    """Every choice of the protocol; params.yaml explains each."""

    size: int
    k: int
    temperature: float
    passes: int
    crop_area: tuple[float, float]
    jitter: float
    jitter_probability: float
    patches_per_image: int | None
    void_is_class_0: bool
    match_classes: bool
    seed: int


@dataclass(frozen=True)
class Hummingbird:
    """`pixel`: IoU of pixels, after matching if requested; `unmatched`: before it; `counts`: how much was compared."""

    pixel: IoU
    unmatched: IoU
    counts: dict[str, int]


def evaluate(
    encoder: Encoder, data: PreparedSet, settings: Settings, world: World, workers: int = 0, memory_gb: float = math.inf
) -> Hummingbird:
    """Evaluate `encoder` on `data`: memory from split "train", queries from "val". Every process returns the result.

    Raises:
        EvaluationError: the data or the settings cannot be evaluated.
        DataError: a file is missing or corrupt.
    """
    train, val = train_and_val(data)
    if settings.size % encoder.patch_size:
        raise EvaluationError(f"{settings.size} px is not a multiple of {encoder.name}'s {encoder.patch_size} px patch")
    classes, ignore = len(data.classes), data.ignore
    labelling = Labelling(classes, ignore, void_column(data, settings))
    augmentation = Augmentation(settings.crop_area, settings.jitter, settings.jitter_probability)
    remembered = Copies(settings.size, settings.passes, augmentation, settings.patches_per_image, settings.seed)
    asked = Copies(settings.size, 1, None, None, settings.seed)
    memory, queries = (
        soft_patches(encoder, records, copies, labelling, world, workers, memory_gb, f"{split} features of {data.name}")
        for split, records, copies in (("train", train, remembered), ("val", val, asked))
    )
    labelled = memory.labels.labelled
    if not labelled.any():
        raise EvaluationError(f"no training patch of {data.name} has a label")
    k = min(settings.k, int(labelled.sum()))
    own = queries.patches.shares[world.rank]
    held = int(labelled[memory.patches.rows].sum())
    progress = Progress(f"neighbours on {data.name}", max(1, held * len(queries.labels)))
    matrix = np.zeros((classes, memory.labels.columns), np.int64)
    square = queries.patches.grids[0]
    for positions, similarities, rows in shared_search(queries.patches, memory.patches, labelled, k, world, progress):
        each = square[0] * square[1]
        for n, position in enumerate(positions):
            span = slice(n * each, (n + 1) * each)
            pixels = memory.labels.counts(rows[span].ravel()).reshape(each, k, -1)
            shares = soft_vote(similarities[span], pixels, settings.temperature)
            called = pixel_classes(shares.unflatten(0, square).to(world.device), (settings.size, settings.size))
            mask = Image.fromarray(read_mask(val[own[position]].mask))
            truth = np.asarray(mask.resize((settings.size, settings.size), Image.Resampling.NEAREST))
            matrix += confusion(truth, called.cpu().numpy(), classes, ignore, matrix.shape[1])
    matrix = world.sum(torch.from_numpy(matrix).to(world.device)).cpu().numpy()
    counts = {
        "classes": classes,
        "train_images": len(train),
        "val_images": len(val),
        "keys": int(labelled.sum()),
        "queries": len(queries.labels),
        "neighbours": k,
        "pixels_scored": int(matrix.sum()),
    }
    try:
        return Hummingbird(iou(matched(matrix)) if settings.match_classes else iou(matrix), iou(matrix), counts)
    except ValueError as error:
        raise EvaluationError(f"the val split: {error}") from None


def void_column(data: PreparedSet, settings: Settings) -> int | None:
    """Return the column in which the memory counts void pixels; None: it does not count them.

    It is class 0 if that is the background, else an extra column, which is no scored pixel's true class. The extra column
    reproduces open-hummingbird's ADE20K, whose class 0 is "other": neighbours vote for it, and a scored pixel that it wins
    is a miss. Here, counting void as class 0 would make it `wall`.
    """
    if not settings.void_is_class_0:
        return None
    return 0 if data.classes[0] == BACKGROUND else len(data.classes)


def soft_vote(
    similarities: Float[Tensor, "Q k"], counts: Int[np.ndarray, "Q k C"], temperature: float
) -> Float[Tensor, "Q C"]:
    """Return Σ softmax(cosine / temperature) · class frequencies, summed over each query's neighbours, in float64."""
    weights = (similarities.double() / temperature).softmax(dim=1)
    frequencies = torch.from_numpy(counts).double()
    frequencies /= frequencies.sum(dim=2, keepdim=True)
    return torch.einsum("qk,qkc->qc", weights, frequencies)


def matched(matrix: Int[np.ndarray, "C P"]) -> Int[np.ndarray, "C P"]:
    """Permute the columns (predictions) so that the sum of all IoUs is largest: Hungarian matching.

    If there is one more column than classes, the column that is matched to no class comes last.
    """
    overlap = matrix / np.maximum(1, matrix.sum(1)[:, None] + matrix.sum(0)[None] - matrix)
    _, column = linear_sum_assignment(overlap, maximize=True)
    rest = np.setdiff1d(np.arange(matrix.shape[1]), column)
    return matrix[:, np.concatenate([column, rest])]


def judge(encoder: Encoder, data: PreparedSet, spec: dict, compute: Compute, world: World, meter: Meter) -> dict:
    """Evaluate `encoder` on `data` with settings as in params.yaml; return the JSON tree (fields: docs/protocols.md)."""
    choices = {key: tuple(value) if isinstance(value, list) else value for key, value in spec.items() if key != "dataset"}
    settings = Settings(**choices)
    found = evaluate(encoder, data, settings, world, compute.workers, compute.feature_memory_gb)
    per_class = zip(data.classes, found.pixel.per_class.tolist(), strict=True)
    scores = {
        "data_warnings": list(data.warnings),
        "mIoU": percent(found.pixel.mean),
        "mIoU_unmatched": percent(found.unmatched.mean),
        "per_class": {name: known_percent(value) for name, value in per_class},
        "n": {**found.counts, "classes_in_mean": found.pixel.occurring},
    }
    card = {
        "card": "docs/protocols.md, open-hummingbird",
        "features": f"{encoder.features}, L2-normalised",
        **choices,
        "void_in_memory": {None: "does not count", 0: "counts as class 0, the background"}.get(
            void_column(data, settings), "counts as one more class, and a scored pixel that it wins is missed"
        ),
        "metric": "pixel IoU at the square size from one confusion matrix, mean over the classes in its ground truth",
        "value": "pixel mIoU" + (" after Hungarian matching of classes" if settings.match_classes else ""),
    }
    return result("hummingbird", encoder.name, data.name, data.digest, scores["mIoU"], scores, card, meter.read())
