"""The class of a patch, against loops over its pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.evaluation.features.patch_labels import patch_labels


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
