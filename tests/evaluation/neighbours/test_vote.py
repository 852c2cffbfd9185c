"""The votes of neighbours, against loops."""

from __future__ import annotations

import math

import pytest
import torch

from cribo.evaluation.neighbours.vote import vote, winners


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
