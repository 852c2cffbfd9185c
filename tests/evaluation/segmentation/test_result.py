"""The result of a cell of segmentation."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest

from cribo.evaluation.segmentation.result import MMLAB, card, cell


@pytest.mark.parametrize("protocol", ["linear_segmentation", "segmenter"])
def test_a_result_says_what_the_manifest_of_its_data_warns_of(protocol, encoder, photos, request):
    settings = request.getfixturevalue(f"{protocol.removesuffix('_segmentation')}_settings")
    data = replace(photos, warnings=("train has 5 images, the paper's has 10582",))
    matrix = np.eye(len(data.classes), dtype=np.int64)
    assert cell(protocol, encoder, data, settings, 1e-3, 1, matrix, {})["data_warnings"] == list(data.warnings)


def test_a_result_gives_shares_in_percent_and_what_they_were_counted_of(encoder, photos, linear_settings):
    matrix = np.array([[3, 1, 0, 0], [0, 4, 0, 0], [1, 0, 5, 0], [0, 0, 0, 0]])
    tree = cell("linear_segmentation", encoder, photos, linear_settings, 1e-3, 2, matrix, {"seconds": 1})
    assert tree["value"] == 74.4444 and tree["pixel_accuracy"] == 85.7143 and tree["cost"] == {"seconds": 1}
    assert tree["per_class"] == {"background": 60.0, "red": 80.0, "green": 83.3333, "blue": None}
    assert (tree["model"], tree["dataset"], tree["dataset_digest"]) == (encoder.name, photos.name, photos.digest)
    assert (tree["protocol_id"], tree["learning_rate"], tree["layers"]) == ("linear_segmentation", 1e-3, 2)
    counts = {"classes": 4, "train_images": 5, "val_images": 3, "pixels_scored": 14, "classes_in_mean": 3}
    assert tree["n"] == counts and tree["protocol"] == card("linear_segmentation", encoder, linear_settings, 1e-3, 2, 255)
    assert {name: tree["versions"][name] for name in MMLAB} == {name: version(name) for name in MMLAB} and len(MMLAB) == 3


SHARED = {
    "learning_rate": "0.001, polynomial of power 0.9 to 0.00012, no warm-up",
    "optimiser": "Adam, β (0.9, 0.999), L2 0.05",
    "train": "photos fitted into [128, 40] px × [0.5, 2.0], crop, flip, photometric distortion",
    "test": "photos fitted into [128, 40] px, window 32 px every 24 px, logits averaged and enlarged bilinearly to "
    "the photo's own size; last iteration; one scale, no flip",
    "loss": "cross-entropy of pixels, value 7 left out; sum over labelled pixels / number of all pixels",
    "metric": "IoU from one confusion matrix over the split, mean over the classes that occur in truth or prediction",
    "input": "the encoder's mean and deviation",
    "position_embedding": "resampled once to a photo of 32 px, bicubic",
}


def test_the_card_of_a_decoder_says_every_choice_as_it_was_resolved(encoder, linear_settings, segmenter_settings):
    own = {"end_lr": [0.1, 2e-5], "weight_decay": 0.05}
    linear, segmenter = linear_settings | own, segmenter_settings | own
    assert card("segmenter", encoder, segmenter | {"dataset": "any"}, 1e-3, 1, 7) == SHARED | {
        "card": "docs/protocols.md, Segmenter",
        "trained": "the whole encoder and the decoder",
        "decoder": "mask transformer, 2 blocks, 3 heads, one learned token a class",
        "settings": segmenter,
    }
    assert card("linear_segmentation", encoder, linear, 1e-3, 1, 7) == SHARED | {
        "card": "docs/protocols.md, linear segmentation",
        "trained": "the decoder; the encoder is frozen and in evaluation mode, but for its drop path if that is above 0",
        "decoder": "1×1 convolution on patch tokens, logits enlarged bilinearly",
        "features": "last block after the final norm",
        "settings": linear,
    }


@pytest.mark.parametrize(
    ("key", "value", "field", "says"),
    [
        ("layer_norm", "last", "features", "last 2 blocks concatenated, the last after the final norm"),
        ("layer_norm", "each", "features", "last 2 blocks concatenated, each after the final norm"),
        ("statistics", "half", "input", "127.5 ± 127.5 a channel"),
    ],
)
def test_the_card_of_a_decoder_says_what_it_reads(encoder, linear_settings, key, value, field, says):
    assert card("linear_segmentation", encoder, linear_settings | {key: value}, 1e-3, 2, 255)[field] == says
