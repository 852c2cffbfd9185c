"""Image-level k-NN against a restatement in loops, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from cribo.data.preparation.prepare import prepare
from cribo.data.prepared.readers import open_set
from cribo.evaluation import knn
from cribo.evaluation.features.image_features import centre_of
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.knn import Settings, evaluate, knn_result, rank_of
from cribo.training.engine.distributed import World

ALONE = World(0, 1, torch.device("cpu"))
SETTINGS = Settings((1, 3, 7, 500), 0.07, 40, 32)
# So alike that every k finds others, and so many that the first five are not all.
NAMES = ("ash", "brick", "clay", "dun", "ebony", "fawn", "grey")
TINTS = {name: (110 + 8 * (n % 3), 110 + 8 * (n // 3), 110) for n, name in enumerate(NAMES)}


def write_photos(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 4)):
        for name, tint in TINTS.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                width, height = rng.integers(40, 70, 2)
                pixels = np.clip(rng.normal(tint, 60, (height, width, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


def open_photos(root: Path, data: Path):
    """The photos as a prepared set of kind imagenet."""
    prepare("tints", {"kind": "imagenet", "path": str(root)}, data, workers=1)
    return open_set("tints", data, root)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    return open_photos(write_photos(root / "photos"), root / "data")


def restated_hits(encoder, data, k, temperature):
    """Val images whose class is first, and among the first five, one at a time."""

    def feature(photo):
        image = CenterCrop(32)(Resize(40, InterpolationMode.BICUBIC)(Image.open(photo)))
        x = torch.tensor(np.asarray(image)).permute(2, 0, 1) / 255
        x = (x - torch.tensor(encoder.mean).view(3, 1, 1)) / torch.tensor(encoder.std).view(3, 1, 1)
        with torch.no_grad():
            whole = encoder.net.forward_features(x.unsqueeze(0))[0, 0].double().numpy()
        return whole / np.linalg.norm(whole)

    memory = [(feature(record.image), record.label) for record in data.labelled["train"]]
    first = among_five = 0
    for record in data.labelled["val"]:
        query, label = feature(record.image), record.label
        nearest = sorted(((float(query @ key), c) for key, c in memory), key=lambda pair: -pair[0])[:k]
        votes = dict.fromkeys(range(len(data.classes)), 0.0)
        for cosine, c in nearest:
            votes[c] += math.exp(cosine / temperature)
        order = [c for c in sorted(votes, key=lambda c: (-votes[c], c)) if votes[c]]
        first += order[0] == label
        among_five += label in order[:5]
    return first, among_five


def test_protocol_equals_restatement(encoder, data):
    found = evaluate(encoder, data, SETTINGS, 0, ALONE)
    for k in SETTINGS.k:
        first, among_five = restated_hits(encoder, data, k, 0.07)
        assert (found.top1[k], found.top5[k]) == (pytest.approx(first / 28), pytest.approx(among_five / 28))
    assert len(set(found.top1.values())) >= 3 and len(set(found.top5.values())) == 4
    assert found.neighbours == {1: 1, 3: 3, 7: 7, 500: 42}
    assert found.counts == {"classes": 7, "train_images": 42, "val_images": 28}


def test_blocks_of_queries_change_nothing(encoder, data, monkeypatch):
    whole = evaluate(encoder, data, SETTINGS, 2, ALONE)
    monkeypatch.setattr(knn, "QUERIES", 5)
    assert evaluate(encoder, data, SETTINGS, 0, ALONE) == whole


@pytest.mark.parametrize("size", [(57, 40), (40, 63), (31, 97), (256, 300), (40, 40)])
def test_input_is_torchvisions_resize_and_centre_crop(tmp_path, size):
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    expected = CenterCrop(32)(Resize(40, InterpolationMode.BICUBIC)(Image.fromarray(pixels)))
    assert np.array_equal(centre_of(tmp_path / "photo.png", 40, 32), np.asarray(expected))


def test_rank_counts_larger_shares_and_lower_ids_among_equals():
    shares = torch.tensor([[0.2, 0.5, 0.2, 0.1, 0.0]]).expand(3, -1)
    assert rank_of(shares, torch.tensor([1, 2, 4])).tolist() == [0, 2, 5]


def test_the_fifth_class_is_among_the_first_five_and_the_sixth_is_not(encoder, data, monkeypatch):
    for rank, hit in ((0, 1.0), (4, 1.0), (5, 0.0)):
        monkeypatch.setattr(knn, "rank_of", lambda shares, truth, rank=rank: torch.full_like(truth, rank))
        assert evaluate(encoder, data, SETTINGS, 0, ALONE).top5 == dict.fromkeys(SETTINGS.k, hit)


def test_the_result_names_the_best_k_and_its_card(encoder, data):
    found = evaluate(encoder, data, SETTINGS, 0, ALONE)
    tree = knn_result("small", data, SETTINGS, found, encoder.whole, {"seconds": 1})
    assert tree["protocol"]["features"] == "CLS token of the last block after the final norm, L2-normalised"
    assert tree["value"] == max(tree["top1"].values()) > min(tree["top1"].values())
    assert tree["k"] == min(k for k in SETTINGS.k if tree["top1"][str(k)] == tree["value"])
    assert tree["protocol"]["fewer_than_k_keys"] == "all keys vote at 500"
    assert tree["protocol_id"] == "knn" and tree["dataset_digest"] == data.digest


# ------------------------------------------------------------------------------------------------------------ refusals
def test_a_crop_that_is_no_multiple_of_the_patch(encoder, data):
    with pytest.raises(EvaluationError, match="30 px is not a multiple of small's 8 px patch"):
        evaluate(encoder, data, Settings((1,), 0.07, 40, 30), 0, ALONE)


def test_a_set_whose_images_have_no_class(encoder, data):
    with pytest.raises(EvaluationError, match="tints has 0 train and 0 val images with a class of their own"):
        evaluate(encoder, replace(data, labelled={}), SETTINGS, 0, ALONE)
