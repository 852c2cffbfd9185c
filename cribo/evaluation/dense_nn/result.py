"""The result file of dense nearest-neighbour retrieval."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.dense_nn.retrieval import DenseNN, Run, Settings, evaluate
from cribo.evaluation.harness.result import DIGITS, Meter, known_percent, result
from cribo.evaluation.miou import IoU
from cribo.model.encoder import Encoder
from cribo.params import Compute
from cribo.training.engine.distributed import World


def dense_nn_result(
    model: str,
    data: PreparedSet,
    settings: Settings,
    patch_size: int,
    found: DenseNN,
    cost: dict,
    features: str = "patch tokens",
) -> dict:
    """Return the JSON tree for one model on one data set, IoUs in percent. docs/protocols.md explains every field."""
    finest = min(found.runs)
    scores = {
        "data_warnings": list(data.warnings),
        "patch": {_share(f): _spread([run.patch for run in runs]) for f, runs in found.runs.items()},
        "pixel": {_share(f): _spread([run.pixel for run in runs]) for f, runs in found.runs.items()},
        "per_class": {
            "patch": _per_class([run.patch for run in found.runs[finest]], data.classes),
            "pixel": _per_class([run.pixel for run in found.runs[finest]], data.classes),
        },
        "n": {
            **found.counts,
            "classes_in_patch_mean": found.runs[finest][0].patch.occurring,
            "classes_in_pixel_mean": found.runs[finest][0].pixel.occurring,
        },
        "memory": {_share(f): _memory(runs) for f, runs in found.runs.items()},
    }
    value = scores["patch"][_share(finest)]["mean"]
    card = protocol(settings, patch_size, data.ignore, found, features)
    return result("dense_nn", model, data.name, data.digest, value, scores, card, cost)


def judge(encoder: Encoder, data: PreparedSet, spec: dict, compute: Compute, world: World, meter: Meter) -> dict:
    """Evaluate `encoder` on `data` with settings as in params.yaml; return the JSON tree."""
    settings = Settings(spec["k"], spec["temperature"], tuple(spec["subsample"]), spec["runs"], spec["seed"])
    found = evaluate(encoder, data, settings, world, compute.workers, compute.feature_memory_gb)
    return dense_nn_result(encoder.name, data, settings, encoder.patch_size, found, meter.read(), encoder.features)


def protocol(settings: Settings, patch_size: int, ignore: int, found: DenseNN, features: str) -> dict:
    """Return the protocol card: every choice as resolved, in words and values."""
    fewer = [_share(f) for f, runs in found.runs.items() if any(run.neighbours < settings.k for run in runs)]
    weight = (
        "all votes weigh the same"
        if settings.temperature is None
        else f"a vote weighs exp(cosine / {settings.temperature:g})"
    )
    return {
        "card": "docs/protocols.md, dense nearest neighbours",
        "features": f"{features}, L2-normalised",
        "resolution": f"each photo's own, scaled down to a multiple of {patch_size} px (bicubic, antialiased)",
        "patch_label": "majority of the patch's labelled pixels, lowest class id among equals; masks scaled by nearest",
        "void": f"pixels of value {ignore} have no vote and no score; wholly void patches are neither keys nor scored",
        "similarity": "cosine, exact search, lowest index among equals",
        "k": settings.k,
        "fewer_than_k_keys": f"all keys vote at {', '.join(fewer)}" if fewer else "nowhere",
        "vote": weight,
        "temperature": settings.temperature,
        "prediction": "class with the largest share of votes, lowest class id among equals",
        "pixels": "shares enlarged bilinearly to the photo's own size, then the largest",
        "metric": "IoU from one confusion matrix over the split, mean over the classes that occur in its ground truth",
        "subsample": list(settings.subsample),
        "draws": "training images, uniformly without replacement, ceil(images / factor); all of them at factor 1",
        "runs": settings.runs,
        "seed": settings.seed,
        "value": f"patch mIoU at {_share(min(settings.subsample))}",
        "std": "between runs, n - 1 in the denominator; null for a single run",
    }


def _share(factor: int) -> str:
    return f"1/{factor}"


def _spread(scores: Sequence[IoU]) -> dict:
    runs = [100 * score.mean for score in scores]
    std = round(statistics.stdev(runs), DIGITS) if len(runs) > 1 else None
    return {"mean": round(statistics.fmean(runs), DIGITS), "std": std, "runs": [round(run, DIGITS) for run in runs]}


def _per_class(scores: Sequence[IoU], classes: Sequence[str]) -> dict[str, float | None]:
    """Return each class's mean over runs; null for a class absent from the ground truth (the same classes in every run)."""
    return {
        name: known_percent(statistics.fmean(float(score.per_class[c]) for score in scores))
        for c, name in enumerate(classes)
    }


def _memory(runs: Sequence[Run]) -> dict:
    return {"images": runs[0].images, "keys": [run.keys for run in runs], "neighbours": [run.neighbours for run in runs]}
