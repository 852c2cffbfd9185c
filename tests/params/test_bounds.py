"""Every number of params.yaml: the last value that is taken, and the first that is refused at its own key."""

from __future__ import annotations

import copy

import pytest
import yaml
from pydantic import ValidationError

from cribo.params.schema import Params, as_tuples
from cribo.params.types import flat
from tests.edits import DEMO

WHOLE, COUNT = ([0], [-1]), ([1], [0])
POSITIVE, NON_NEGATIVE = ([1e-9], [0.0]), ([0.0], [-1e-9])
SHARE, BELOW_ONE, HALF = ([0.0, 1.0], [-0.01, 1.01]), ([0.0, 0.999], [-0.01, 1.0]), ([0.0, 0.5], [-0.01, 0.51])
SEED = ([0, 2**63 - 1], [-1, 2**63])


def listed(bounds: tuple[list, list], size: int) -> tuple[list, list]:
    """Those of a list of fixed length, whose members each have these bounds."""
    least = bounds[0][0]
    others = [[*[least] * at, wrong, *[least] * (size - at - 1)] for wrong in bounds[1] for at in range(size)]
    return [[good] * size for good in bounds[0]], others


def some(bounds: tuple[list, list]) -> tuple[list, list]:
    """Those of a list of any length but none."""
    return [[good] for good in bounds[0]], [[], *([wrong] for wrong in bounds[1])]


AREA = listed(([0.01, 1.0], [0.0, 1.01]), 2)
DECODING = {
    "drop_path": BELOW_ONE, "iterations": COUNT, "batch_size": COUNT, "weight_decay": NON_NEGATIVE,
    "end_lr": listed(NON_NEGATIVE, 2), "crop": ([16], [15]), "max_class_share": ([0.01, 1.0], [0.0, 1.01]),
    "scale": listed(COUNT, 2), "ratio": listed(POSITIVE, 2), "window": ([16], [15]), "stride": COUNT, "seed": SEED,
    "learning_rates": some(POSITIVE),
}  # fmt: skip
BOUNDS = {
    "pretrain": {
        "seed": SEED, "drop_path": BELOW_ONE,
        "views": {
            "size": ([16], [15]), "crop_area": AREA, "crop_aspect": listed(POSITIVE, 2), "hue": HALF,
            **dict.fromkeys(("flip", "jitter", "brightness", "contrast", "saturation", "grayscale"), SHARE),
            "blur": listed(SHARE, 2), "blur_radius": listed(NON_NEGATIVE, 2), "solarise": listed(SHARE, 2),
            "local": {"count": WHOLE, "size": ([8], [7]), "crop_area": AREA, "blur": SHARE},
        },
        "head": {"hidden": COUNT, "bottleneck": COUNT, "prototypes": ([2], [1]), "freeze_epochs": WHOLE},
        "clustering": {
            "K": ([2], [1]), "lambda_pos": NON_NEGATIVE, "sharpness": ([0.1, 80.0], [0.0, 80.1]),
            "outer_iterations": COUNT, "sinkhorn_iterations": COUNT, "normalise_images": COUNT,
        },
        "memory_bank": {"images": COUNT},
        "matching": {"pool_images": COUNT, "first_epoch": WHOLE},
        "targets": {
            "student_temperature": POSITIVE, "teacher_temperature": listed(POSITIVE, 2), "warmup_epochs": WHOLE,
            "centre_momentum": SHARE, "mean_images": COUNT,
        },
        "mae": {
            "mask": ([0.01, 0.99], [0.0, 1.0]),
            "decoder": {"width": ([4, 8], [0, 3, 6]), "depth": COUNT, "heads": COUNT},
        },
        "optimisation": {
            "epochs": COUNT, "batch_size": ([2], [1]), "base_lr": POSITIVE, "min_lr": NON_NEGATIVE, "warmup_epochs": WHOLE,
            "weight_decay": listed(NON_NEGATIVE, 2), "clip_norm": NON_NEGATIVE, "beta2": BELOW_ONE, "ema": listed(SHARE, 2),
        },
    },
    "evaluate": {
        "dense_nn": {
            "k": COUNT, "temperature": ([None, 1e-9], [0.0]), "subsample": some(COUNT), "runs": COUNT, "seed": SEED,
        },
        "hummingbird": {
            "size": COUNT, "k": COUNT, "temperature": POSITIVE, "passes": COUNT, "crop_area": listed(POSITIVE, 2),
            "jitter": HALF, "jitter_probability": SHARE, "patches_per_image": ([None, 1], [0]), "seed": SEED,
        },
        "linear_segmentation": {**DECODING, "layers": some(COUNT)},
        "segmenter": {**DECODING, "decoder_layers": COUNT, "decoder_drop_path": BELOW_ONE},
        "knn": {"k": some(COUNT), "temperature": POSITIVE, "short_side": COUNT, "crop": COUNT},
        "yolos": {
            "epochs": COUNT, "batch_size": COUNT, "lr": POSITIVE, "min_lr": NON_NEGATIVE, "weight_decay": NON_NEGATIVE,
            "clip_norm": NON_NEGATIVE, "tokens": COUNT, "grid": listed(COUNT, 2), "short": listed(COUNT, 3),
            "longest": COUNT, "crop_from": some(COUNT), "crop": listed(COUNT, 2), "test": COUNT, "seed": SEED,
        },
    },
    "report": {
        "tables": ([[1, 12]], [[0], [13]]), "tolerance": NON_NEGATIVE, "examples": {"photos": COUNT, "bank": COUNT},
    },
    "compute": {
        "micro_batch": WHOLE, "workers": WHOLE, "threads": WHOLE, "feature_memory_gb": NON_NEGATIVE,
        "checkpoint_steps": COUNT, "keep_states": ([2], [1]), "log_steps": COUNT,
    },
}  # fmt: skip
WORDS = {
    "pretrain.fidelity": ("paper", "released", "ours"),
    "pretrain.backbone": ("vit_demo_8", "vit_small_16", "vit_small_8", "vit_base_16"),
    "pretrain.clustering.algorithm": ("sinkhorn", "kmeans", "labels"),
    "pretrain.clustering.marginals": ("histogram", "uniform", "fidelity"),
    "pretrain.clustering.exclude_self": (True, False, "fidelity"),
    "pretrain.clustering.centroids": ("unit", "raw", "fidelity"),
    "pretrain.clustering.normalise_images": ("fidelity",),
    "pretrain.matching.criterion": ("cycle", "none", "labels"),
    "pretrain.matching.pool_images": ("fidelity",),
    "pretrain.matching.first_epoch": ("fidelity",),
    "pretrain.targets.directions": ("mean", "sum", "fidelity"),
    "pretrain.targets.mean_images": ("fidelity",),
    "models.imported.random.stride": (None, 8, 16, 32),
    "models.imported.random.format": (None, "timm", "teacher"),
    "evaluate.linear_segmentation.statistics": ("encoder", "half"),
    "evaluate.linear_segmentation.layer_norm": ("last", "each"),
    "evaluate.segmenter.statistics": ("encoder", "half"),
    "compute.device": ("auto", "cpu", "cuda"),
    "compute.precision": ("fp32", "bf16"),
}
TREE = yaml.safe_load(DEMO)


def refused(key: str, value: object) -> list[str]:
    """The keys at which the schema refuses the demo with this value."""
    tree = copy.deepcopy(TREE)
    *groups, name = key.split(".")
    at = tree
    for group in groups:
        at = at[group]
    at[name] = value
    try:
        Params.model_validate(as_tuples(tree), strict=True)
    except ValidationError as error:
        return [".".join(map(str, e["loc"])) for e in error.errors()]
    return []


@pytest.mark.parametrize(("key", "bounds"), flat(BOUNDS).items())
def test_a_number_is_taken_to_its_bounds_and_refused_beyond(key, bounds):
    good, wrong = bounds
    assert [refused(key, value) for value in good] == [[]] * len(good)
    for value in wrong:
        assert {where.removesuffix(".value").startswith(key) for where in refused(key, value)} == {True}, value


@pytest.mark.parametrize(("key", "words"), WORDS.items())
def test_a_choice_takes_each_of_its_words_and_no_other(key, words):
    assert [refused(key, word) for word in words] == [[]] * len(words)
    assert {where.startswith(key) for where in refused(key, "another")} == {True}


def test_the_losses_are_four_and_one_is_needed():
    for losses in (["global"], ["cross_view", "cross_image"], ["pixels"]):
        assert refused("pretrain.losses", losses) == []
    assert refused("pretrain.losses", []) == ["pretrain.losses"] and refused("pretrain.losses", ["another"])


def test_no_number_is_without_bounds_here():
    found = {
        key
        for key, value in flat({group: TREE[group] for group in BOUNDS}).items()
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, int | float) and not isinstance(one, bool)
    }
    assert found <= set(flat(BOUNDS))
