"""Patch labels, votes, mIoU, draws and pixels, each against a slow restatement."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.evaluation.metrics import IoUMetric

from cribo.evaluation.miou import confusion, iou
from cribo.evaluation.patch_labels import patch_labels
from cribo.evaluation.pixels import pixel_classes
from cribo.evaluation.subsample import draws
from cribo.evaluation.vote import vote, winners


# ------------------------------------------------------------------------------------------------------- patch labels
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    h=st.integers(1, 3),
    w=st.integers(1, 4),
    patch=st.integers(1, 5),
    classes=st.integers(1, 5),
    void=st.floats(0, 1),
)
def test_majority_vote(seed, h, w, patch, classes, void):
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, classes, (h * patch, w * patch)).astype(np.uint8)
    mask[rng.random(mask.shape) < void] = 255
    labels = patch_labels(mask, patch, classes, 255)
    for y in range(h):
        for x in range(w):
            counts = [0] * classes
            for i in range(patch):
                for j in range(patch):
                    value = int(mask[y * patch + i, x * patch + j])
                    if value != 255:
                        counts[value] += 1
            assert labels[y, x] == (counts.index(max(counts)) if any(counts) else 255)


def test_unknown_class_is_named():
    with pytest.raises(ValueError, match="holds 7, which is neither one of 3 classes nor 255"):
        patch_labels(np.full((4, 4), 7, np.uint8), 2, 3, 255)


def test_no_multiple_of_the_patch():
    with pytest.raises(ValueError, match="6 × 4 px"):
        patch_labels(np.zeros((4, 6), np.uint8), 4, 3, 255)


# --------------------------------------------------------------------------------------------------------------- votes
@pytest.mark.parametrize("temperature", [None, 0.07, 1.0, 1e-4])
def test_vote(temperature):
    torch.manual_seed(0)
    similarities, labels = torch.rand(30, 7) * 2 - 1, torch.randint(0, 4, (30, 7), dtype=torch.uint8)
    shares = vote(similarities, labels, 5, temperature)
    for q in range(30):
        best = float(similarities[q].max())
        weights = [1.0 if temperature is None else math.exp((s - best) / temperature) for s in similarities[q].tolist()]
        expected = [
            sum(w for w, c in zip(weights, labels[q].tolist(), strict=True) if c == label) / sum(weights)
            for label in range(5)
        ]
        assert shares[q].tolist() == pytest.approx(expected, abs=1e-12)


def test_equal_shares_go_to_the_lowest_class():
    shares = vote(torch.zeros(2, 4), torch.tensor([[3, 1, 3, 1], [2, 2, 2, 0]]), 4, 0.07)
    assert winners(shares).tolist() == [1, 2]


# ---------------------------------------------------------------------------------------------------------------- mIoU
@pytest.mark.parametrize("seed", range(5))
def test_iou_equals_mmseg(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, 4, (2, 40, 50))
    truth[rng.random(truth.shape) < 0.2] = 255
    prediction[rng.random(truth.shape) < 0.05] = 5  # predicted, and nowhere in the ground truth; class 4 is in neither
    ours = iou(confusion(truth, prediction, 6, 255))
    areas = IoUMetric.intersect_and_union(torch.from_numpy(prediction), torch.from_numpy(truth), 6, 255)
    theirs = (areas[0] / areas[1]).numpy()
    occurs = areas[3].numpy() > 0
    assert ours.occurring == occurs.sum() == 4
    np.testing.assert_allclose(ours.per_class[:4], theirs[:4], rtol=1e-6)
    assert np.isnan(ours.per_class[4:]).all()
    assert ours.mean == pytest.approx(theirs[occurs].mean(), rel=1e-6)


def test_nothing_labelled():
    with pytest.raises(ValueError, match="void everywhere"):
        iou(confusion(np.full(3, 255), np.zeros(3, int), 2, 255))


# --------------------------------------------------------------------------------------------------------------- draws
@given(images=st.integers(1, 300), factor=st.integers(2, 130), runs=st.integers(1, 4), seed=st.integers(0, 99))
def test_draws(images, factor, runs, seed):
    drawn = draws(images, factor, runs, seed)
    assert len(drawn) == runs
    for rows in drawn:
        assert len(rows) == math.ceil(images / factor) == len(set(rows.tolist()))
        assert rows.min() >= 0 and rows.max() < images and list(rows) == sorted(rows)
    longer = draws(images, factor, runs + 1, seed)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, longer, strict=False))


def test_draws_differ_and_factor_one_keeps_all():
    drawn = [tuple(rows) for factor in (8, 64) for seed in (0, 1) for rows in draws(1000, factor, 5, seed)]
    assert len(set(drawn)) == 20
    assert [list(rows) for rows in draws(5, 1, 5, 0)] == [[0, 1, 2, 3, 4]]


def test_draws_are_uniform():
    counts = np.zeros(40)
    for seed in range(500):
        counts[draws(40, 8, 1, seed)[0]] += 1
    assert abs(counts - 500 * 5 / 40).max() < 5 * math.sqrt(500 * 5 / 40)


# -------------------------------------------------------------------------------------------------------------- pixels
@pytest.mark.parametrize("size", [(24, 40), (27, 43), (3, 5), (25, 90)])
def test_pixels(size):
    """Bilinear interpolation with half-pixel centres, by loops."""
    torch.manual_seed(0)
    shares = torch.rand(3, 5, 6)
    shares[..., [0, 4]] = 0
    found = pixel_classes(shares, size)
    for y in range(size[0]):
        for x in range(size[1]):
            v = min(max((y + 0.5) * 3 / size[0] - 0.5, 0), 2)
            u = min(max((x + 0.5) * 5 / size[1] - 0.5, 0), 4)
            top, left = int(v), int(u)
            bottom, right, a, b = min(top + 1, 2), min(left + 1, 4), v - top, u - left
            blend = (1 - a) * ((1 - b) * shares[top, left] + b * shares[top, right]) + a * (
                (1 - b) * shares[bottom, left] + b * shares[bottom, right]
            )
            assert blend[int(found[y, x])] == pytest.approx(float(blend.max()), abs=1e-6)


def test_equal_planes_go_to_the_lowest_class():
    shares = torch.zeros(2, 2, 5)
    shares[..., [1, 3]] = 0.5
    assert (pixel_classes(shares, (8, 8)) == 1).all()
