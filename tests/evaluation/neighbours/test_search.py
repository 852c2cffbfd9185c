"""Neighbours from every search are those of a slow search without rounding."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.evaluation.neighbours import search as neighbours
from cribo.evaluation.neighbours.search import exact_search, faiss_search, nearest, rounding_bound, tiled_search

SEARCHES = {"faiss": faiss_search, **{f"tiles of {t}": partial(tiled_search, tile=t) for t in (1, 7, 64, 8192)}}
if neighbours.faiss is None:
    del SEARCHES["faiss"]


def unit(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows.float(), dim=-1)


def by_hand(queries: torch.Tensor, keys: torch.Tensor, k: int) -> list[list[int]]:
    """All similarities as fractions; best first, lowest index among equals."""
    q, m = ([[Fraction(round(x * 2**26), 2**26) for x in row] for row in rows.tolist()] for rows in (queries, keys))
    found = []
    for query in q:
        scores = [sum(a * b for a, b in zip(query, key, strict=True)) for key in m]
        found.append(sorted(range(len(m)), key=lambda i, scores=scores: (-scores[i], i))[:k])
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 60),
    d=st.integers(1, 9),
    values=st.integers(1, 3),
    k=st.integers(1, 60),
    search=st.sampled_from(sorted(SEARCHES)),
)
def test_any_search_finds_what_fractions_find(seed, size, d, values, k, search):
    """Few distinct values make many keys equal, and many different keys equally similar."""
    generator = torch.Generator().manual_seed(seed)
    keys = unit(torch.randint(-values, values + 1, (size, d), generator=generator))
    queries = unit(torch.randint(-values, values + 1, (4, d), generator=generator))
    k = min(k, size)
    similarities, indices = nearest(queries, keys, k, SEARCHES[search])
    assert indices.tolist() == by_hand(queries, keys, k)
    expected = (queries.double().unsqueeze(1) * keys[indices].double()).sum(-1)
    assert torch.allclose(similarities.double(), expected, atol=1e-6)


@pytest.mark.parametrize("search", SEARCHES)
def test_searches_agree_bit_for_bit(search):
    torch.manual_seed(0)
    keys, queries = unit(torch.randn(1000, 48)), unit(torch.randn(200, 48))
    reference = exact_search(queries, keys, 50, tile=512)
    similarities, indices = nearest(queries, keys, 50, SEARCHES[search])
    assert torch.equal(indices, reference[1])
    assert torch.equal(similarities, reference[0].float())


@pytest.mark.parametrize("search", SEARCHES)
def test_nearly_equal_similarities(search):
    """Features of a random network point almost the same way: gaps are below what fp32 resolves."""
    torch.manual_seed(1)
    common = 30 * torch.randn(16)
    keys, queries = unit(common + 0.01 * torch.randn(500, 16)), unit(common + 0.01 * torch.randn(5, 16))
    assert nearest(queries, keys, 10, SEARCHES[search])[1].tolist() == by_hand(queries, keys, 10)


@pytest.mark.parametrize("search", SEARCHES)
def test_more_copies_than_candidates_straddling_tiles(search):
    """300 copies of the best key: the first k of them are the neighbours, whichever copies a search proposes."""
    torch.manual_seed(2)
    keys, queries = unit(torch.randn(900, 8)), unit(torch.randn(3, 8))
    places = torch.randperm(900)[:300].sort().values
    keys[places] = queries[0]
    similarities, indices = nearest(queries[:1], keys, 20, SEARCHES[search])
    assert indices[0].tolist() == places[:20].tolist()
    assert torch.all(similarities == similarities[0, 0])
    assert nearest(queries, keys, 20, SEARCHES[search])[1].tolist() == by_hand(queries, keys, 20)


def test_no_queries():
    similarities, indices = nearest(torch.empty(0, 4), unit(torch.randn(5, 4)), 2, tiled_search)
    assert similarities.shape == indices.shape == (0, 2)


def test_rounding_bound_holds():
    torch.manual_seed(3)
    for d in (8, 128, 384):
        keys, queries = unit(torch.randn(2000, d)), unit(torch.randn(50, d))
        exact, indices = exact_search(queries, keys, 2000)
        error = ((queries @ keys.T).gather(1, indices).double() - exact).abs().max()
        assert error <= rounding_bound(d)


@pytest.mark.parametrize(
    "queries, keys, k, words",
    [
        (torch.ones(1, 1), torch.ones(2, 1), 3, "k = 3 neighbours of 2 keys"),
        (torch.ones(1, 1), torch.ones(2, 1), 0, "k = 0"),
        (torch.ones(1, 2), torch.ones(2, 1), 1, "not rows of one width"),
        (torch.ones(1, 4), unit(torch.ones(2, 4)), 1, "queries are not L2-normalised"),
        (unit(torch.ones(1, 4)), torch.full((2, 4), torch.nan), 1, "keys are not L2-normalised"),
    ],
)
def test_refusals(queries, keys, k, words):
    with pytest.raises(ValueError, match=words):
        nearest(queries, keys, k)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_finds_what_the_cpu_finds():
    torch.manual_seed(4)
    keys, queries = unit(torch.randn(20000, 384)), unit(torch.randn(500, 384))
    here, there = nearest(queries, keys, 50), nearest(queries.cuda(), keys.cuda(), 50)
    assert torch.equal(here[0], there[0].cpu())
    assert torch.equal(here[1], there[1].cpu())
