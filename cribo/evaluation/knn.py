"""k-NN classification of whole images (Table 5): does an image find images of its class?

The paper does not describe its protocol. This is DINO's: weighted votes of the nearest training images, for several k.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.features.image_features import image_features
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.harness.result import Meter, percent, result
from cribo.evaluation.neighbours.search import nearest
from cribo.evaluation.neighbours.vote import vote
from cribo.model.encoder import Encoder
from cribo.params import Compute
from cribo.training.engine.distributed import World

QUERIES = 4096  # query images searched at once; limits memory and does not affect results


@dataclass(frozen=True)
class Settings:
    """k: numbers of voting neighbours, each with its own result; temperature: a vote weighs exp(cosine / temperature);
    short_side, crop: of the input, px."""

    k: tuple[int, ...]
    temperature: float
    short_side: int
    crop: int


@dataclass(frozen=True)
class KNN:
    """For each k: the shares of val images whose class ranks first, or among the first five; how many neighbours voted."""

    top1: dict[int, float]
    top5: dict[int, float]
    neighbours: dict[int, int]
    counts: dict[str, int]


def evaluate(encoder: Encoder, data: PreparedSet, settings: Settings, workers: int, world: World) -> KNN:
    """Evaluate `encoder` on the images of `data` with an image-level class: queries from split "val", keys from "train".

    Every process returns the whole result.

    Raises:
        EvaluationError: the crop is not a multiple of the patch, or a split has no image with a class.
        DataError: a photo is missing or corrupt.
    """
    if settings.crop % encoder.patch_size:
        raise EvaluationError(
            f"a crop of {settings.crop} px is not a multiple of {encoder.name}'s {encoder.patch_size} px patch"
        )
    train, val = (data.labelled.get(split, ()) for split in ("train", "val"))
    if not train or not val:
        raise EvaluationError(
            f"{data.name} has {len(train)} train and {len(val)} val images with a class of their own: k-NN needs both"
        )
    memory, truth = (torch.tensor([record.label for record in records]) for records in (train, val))
    keys, queries = (
        image_features(
            encoder,
            [record.image for record in records],
            settings.short_side,
            settings.crop,
            workers,
            world,
            f"{split} features of {data.name}",
        )
        for split, records in (("train", train), ("val", val))
    )
    hits = torch.zeros(2, len(settings.k), dtype=torch.long, device=world.device)
    for block in list(torch.arange(len(val)).split(QUERIES))[world.rank :: world.size]:
        similarities, found = nearest(queries[block.to(world.device)], keys, min(max(settings.k), len(keys)))
        # Vote on the CPU: on a GPU, floating-point sums into classes have no fixed order.
        similarities, labels = similarities.cpu(), memory[found.cpu()]
        for i, k in enumerate(settings.k):
            shares = vote(similarities[:, :k], labels[:, :k], len(data.classes), settings.temperature)
            rank = rank_of(shares, truth[block])
            hits[:, i] += torch.stack([(rank < 1).sum(), (rank < 5).sum()]).to(world.device)
    top1, top5 = (world.sum(hits).cpu().double() / len(val)).tolist()
    counts = {"classes": len(set(memory.tolist())), "train_images": len(train), "val_images": len(val)}
    return KNN(
        dict(zip(settings.k, top1, strict=True)),
        dict(zip(settings.k, top5, strict=True)),
        {k: min(k, len(keys)) for k in settings.k},
        counts,
    )


def rank_of(shares: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Count the classes ranked before the true one: those with a larger share, or an equal share and a lower id.

    A true class without any vote was not found: it ranks behind all classes.
    """
    own = shares.gather(1, truth.unsqueeze(1))
    lower = torch.arange(shares.shape[1]) < truth.unsqueeze(1)
    rank = ((shares > own) | ((shares == own) & lower)).sum(dim=1)
    return torch.where(own.squeeze(1) > 0, rank, shares.shape[1])


def judge(encoder: Encoder, data: PreparedSet, spec: dict, compute: Compute, world: World, meter: Meter) -> dict:
    """Evaluate `encoder` on `data` with settings as in params.yaml; return the JSON tree."""
    settings = Settings(tuple(spec["k"]), spec["temperature"], spec["short_side"], spec["crop"])
    found = evaluate(encoder, data, settings, compute.workers, world)
    return knn_result(encoder.name, data, settings, found, encoder.whole, meter.read())


def knn_result(model: str, data: PreparedSet, settings: Settings, found: KNN, features: str, cost: dict) -> dict:
    """Return the JSON tree for one model on one data set; docs/protocols.md explains every field.

    `features` describes the features in words.
    """
    best = max(settings.k, key=lambda k: (found.top1[k], -k))
    scores = {
        "data_warnings": list(data.warnings),
        "k": best,
        "top1": {str(k): percent(found.top1[k]) for k in settings.k},
        "top5": {str(k): percent(found.top5[k]) for k in settings.k},
        "n": found.counts,
    }
    fewer = [str(k) for k in settings.k if found.neighbours[k] < k]
    card = {
        "card": "docs/protocols.md, image-level k-NN",
        "features": f"{features}, L2-normalised",
        "input": f"shorter side {settings.short_side} px (bicubic, antialiased), centre {settings.crop} px",
        "similarity": "cosine, exact search, lowest index among equals",
        "k": list(settings.k),
        "fewer_than_k_keys": f"all keys vote at {', '.join(fewer)}" if fewer else "nowhere",
        "vote": f"a vote weighs exp(cosine / {settings.temperature:g})",
        "temperature": settings.temperature,
        "short_side": settings.short_side,
        "crop": settings.crop,
        "value": "top-1 accuracy at the best k",
    }
    return result("knn", model, data.name, data.digest, percent(found.top1[best]), scores, card, cost)
