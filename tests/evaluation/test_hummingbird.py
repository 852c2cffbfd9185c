"""The open-hummingbird protocol against a restatement in loops, and its parts."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image

from cribo.evaluation import hummingbird, shared_search
from cribo.evaluation.errors import EvaluationError
from cribo.evaluation.hummingbird import Settings, evaluate, matched, soft_vote
from cribo.evaluation.hummingbird_patches import Augmentation, class_counts, rare_first, soft_patches, square
from cribo.training.distributed import World

ALONE = World(0, 1, torch.device("cpu"))
SIZES = {"train": [(32, 32), (40, 27), (35, 48)], "val": [(32, 40), (45, 33)]}
PLAIN = Settings(32, 4, 0.1, 1, (1.0, 1.0), 0.0, 0.0, None, True, False, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_set):
    return write_set(tmp_path_factory.mktemp("photos"), SIZES)


def restated_patches(encoder, record):
    """[(feature, shares of classes)] of a photo at 32 × 32 px, void as class 0."""
    image = Image.open(record.image).resize((32, 32), Image.Resampling.BILINEAR)
    mask = np.array(Image.open(record.mask).resize((32, 32), Image.Resampling.NEAREST))
    x = torch.tensor(np.asarray(image)).permute(2, 0, 1) / 255 - torch.tensor(encoder.mean).view(3, 1, 1)
    with torch.no_grad():
        tokens = encoder.vit.forward_features((x / torch.tensor(encoder.std).view(3, 1, 1)).unsqueeze(0))[0, 1:]
    patches = []
    for n in range(16):
        y, x0 = divmod(n, 4)
        pixels = mask[8 * y : 8 * y + 8, 8 * x0 : 8 * x0 + 8].ravel()
        shares = [float(np.mean((pixels == c) | ((pixels == 255) & (c == 0)))) for c in range(4)]
        feature = tokens[n].double().numpy()
        patches.append((feature / np.linalg.norm(feature), np.array(shares)))
    return patches, mask


def restated_pairs(encoder, data, k, temperature):
    """(truth, prediction) of every pixel that is not void."""
    memory = [patch for record in data.splits["train"] for patch in restated_patches(encoder, record)[0]]
    pairs = []
    for record in data.splits["val"]:
        queries, mask = restated_patches(encoder, record)
        shares = np.zeros((16, 4))
        for n, (feature, _) in enumerate(queries):
            best = sorted(memory, key=lambda key, feature=feature: -float(feature @ key[0]))[:k]
            weights = [math.exp(float(feature @ key) / temperature) for key, _ in best]
            shares[n] = sum(w * label for w, (_, label) in zip(weights, best, strict=True)) / sum(weights)
        planes = torch.tensor(shares).view(4, 4, 4).permute(2, 0, 1).unsqueeze(0).float()
        full = torch.nn.functional.interpolate(planes, (32, 32), mode="bilinear")[0].argmax(0).numpy()
        pairs += [(t, p) for t, p in zip(mask.ravel().tolist(), full.ravel().tolist(), strict=True) if t != 255]
    return pairs


def restated_miou(pairs):
    ious = []
    for c in {t for t, _ in pairs}:
        hit = sum(t == c and p == c for t, p in pairs)
        ious.append(hit / sum(t == c or p == c for t, p in pairs))
    return sum(ious) / len(ious)


def whole_photo(monkeypatch):
    """Memory without augmentation, which the protocol always has."""
    original = soft_patches
    monkeypatch.setattr(hummingbird, "soft_patches", lambda *a, **k: original(*a[:4], None, *a[5:], **k))


def test_protocol_equals_restatement(encoder, data, monkeypatch):
    whole_photo(monkeypatch)
    found = evaluate(encoder, data, PLAIN, ALONE)
    assert found.found.mean == pytest.approx(restated_miou(restated_pairs(encoder, data, 4, 0.1)), abs=1e-9)
    assert found.counts["keys"] == 48 and found.counts["queries"] == 32 and found.counts["neighbours"] == 4


def test_chunks_and_disk_change_nothing(encoder, data, monkeypatch):
    settings = replace(PLAIN, passes=2, crop_area=(0.5, 1.0), jitter=0.1, jitter_probability=0.5, match_classes=True)
    whole = evaluate(encoder, data, settings, ALONE)
    for name, value in (("KEYS", 7), ("QUERIES", 20), ("BLOCK", 5)):
        monkeypatch.setattr(shared_search, name, value)
    parts = evaluate(encoder, data, settings, ALONE, workers=2, memory_gb=0)
    assert (parts.found.mean, parts.unmatched.mean, parts.counts) == (whole.found.mean, whole.unmatched.mean, whole.counts)
    assert whole.counts["keys"] == 96


def test_every_choice_changes_the_score(encoder, data):
    base = replace(PLAIN, passes=2, crop_area=(0.5, 1.0), jitter=0.4, jitter_probability=0.5)
    scores = {"base": evaluate(encoder, data, base, ALONE).found.mean}
    changes = {"size": 48, "k": 1, "temperature": 5.0, "passes": 1, "crop_area": (0.2, 0.4), "seed": 5}
    changes |= {"jitter": 0.0, "jitter_probability": 1.0, "patches_per_image": 3, "void_is_class_0": False}
    for key, value in changes.items():
        scores[key] = evaluate(encoder, data, replace(base, **{key: value}), ALONE).found.mean
    assert all(scores[key] != scores["base"] for key in scores if key != "base"), scores


def test_matching_is_the_best_of_all_permutations():
    rng = np.random.default_rng(0)
    for _ in range(5):
        matrix = rng.integers(0, 50, (4, 4))

        def total(columns, matrix=matrix):
            m = matrix[:, list(columns)]
            return sum(m[c, c] / (m[c].sum() + m[:, c].sum() - m[c, c]) for c in range(4))

        best = max(permutations(range(4)), key=total)
        assert np.array_equal(matched(matrix), matrix[:, list(best)])


def test_soft_vote():
    counts = np.array([[[3, 1], [0, 4]]])
    cosines = torch.tensor([[0.9, 0.7]])
    weights = [math.exp(0.9 / 0.2), math.exp(0.7 / 0.2)]
    first = (weights[0] * 0.75) / sum(weights)
    assert soft_vote(cosines, counts, 0.2)[0].tolist() == pytest.approx([first, 1 - first])


def test_class_counts_of_void(data):
    mask = np.full((16, 16), 255, np.uint8)
    mask[:8, :8] = 2
    record = data.splits["train"][0]
    assert class_counts(mask, 8, 4, 255, True, record)[:2].tolist() == [[0, 0, 64, 0], [64, 0, 0, 0]]
    assert class_counts(mask, 8, 4, 255, False, record)[:2].tolist() == [[0, 0, 64, 0], [0, 0, 0, 0]]
    with pytest.raises(EvaluationError, match="holds 2, which is neither one of 2 classes nor 255"):
        class_counts(mask, 8, 2, 255, True, record)


def test_patches_of_rare_classes_are_kept_more_often():
    counts = np.zeros((40, 2), np.int16)
    counts[:36, 0] = counts[36:, 1] = 64
    kept = [rare_first(counts, 8, np.random.default_rng(seed)) for seed in range(50)]
    assert all(len(set(k.tolist())) == 8 and np.all(np.diff(k) > 0) for k in kept)
    assert np.mean([np.sum(k >= 36) for k in kept]) > 3  # of four; a uniform choice would keep 0.8


def test_photo_and_mask_are_cropped_alike(data):
    """Colours follow classes, so a class's mean colour is the same in a crop, whatever the crop."""
    record = data.splits["train"][2]
    draw = Augmentation((0.3, 0.6), 0.0, 0.0)
    for seed in range(5):
        image, mask = square(record, 64, draw, np.random.default_rng(seed))
        for label, colour in ((1, 0), (2, 1), (3, 2)):
            if (mask == label).sum() > 200:
                assert image[mask == label].mean(0).argmax() == colour


def test_a_square_that_is_no_multiple_of_the_patch(encoder, data):
    with pytest.raises(EvaluationError, match="30 px is no multiple of small's 8 px patch"):
        evaluate(encoder, data, replace(PLAIN, size=30), ALONE)
