"""Which training images a memory holds."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cribo.evaluation.dense_nn.subsample import draws


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
