"""Keys in chunks, on disk and in several processes: always the neighbours of one search over all keys."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cribo.evaluation.features.feature_rows import feature_rows
from cribo.evaluation.features.patch_features import Patches
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.neighbours import search as neighbours
from cribo.evaluation.neighbours import shared_search
from cribo.evaluation.neighbours.search import exact_search, faiss_search, merge, tiled_search
from cribo.training.engine.distributed import World

ALONE = World(0, 1, torch.device("cpu"))


def unit(rows):
    return torch.nn.functional.normalize(rows.float(), dim=-1)


def patches(features, sizes):
    """`features` as the patches of images with so many patches each."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    grids = tuple((1, size) for size in sizes)
    return Patches(
        features, np.arange(starts[-1]), np.zeros(starts[-1], np.uint8), grids, starts, (tuple(range(len(sizes))),)
    )


@pytest.fixture(scope="module")
def problem():
    """Queries and keys with many equal and nearly equal rows, and a mask that leaves every seventh key out."""
    torch.manual_seed(0)
    keys = unit(torch.cat([torch.randn(700, 12), torch.randint(-1, 2, (300, 12)) + torch.tensor([2.0] + 11 * [0.0])]))
    keys = keys[torch.randperm(1000)]
    queries = unit(torch.cat([torch.randn(60, 12), keys[:40]]))
    return patches(queries, [30, 1, 29, 40]), patches(keys, [400, 350, 250]), np.arange(1000) % 7 != 3


def found_by(problem, k=20):
    queries, memory, kept = problem
    parts = list(shared_search.shared_search(queries, memory, kept, k, ALONE, Progress("test", 1e9)))
    assert [i for images, _, _ in parts for i in images] == [0, 1, 2, 3]
    return torch.cat([s for _, s, _ in parts]), np.concatenate([r for _, _, r in parts])


@pytest.mark.parametrize("search", [faiss_search, tiled_search])
@pytest.mark.parametrize(("keys", "queries", "block"), [(1 << 20, 1 << 18, 1 << 14), (64, 1 << 18, 7), (40, 9, 4)])
def test_chunks_find_what_one_search_finds(problem, monkeypatch, search, keys, queries, block):
    if search is faiss_search and neighbours.faiss is None:
        pytest.skip("FAISS is not installed")
    for name, value in (("KEYS", keys), ("QUERIES", queries), ("BLOCK", block)):
        monkeypatch.setattr(shared_search, name, value)
    exactly = neighbours.exactly_nearest
    monkeypatch.setattr(shared_search, "exactly_nearest", lambda q, m, k: exactly(q, m, k, search))
    similarities, rows = found_by(problem)
    own = np.flatnonzero(problem[2])
    values, indices = exact_search(problem[0].features, problem[1].features[own], 20)
    assert np.array_equal(rows, own[indices.numpy()])
    assert torch.equal(similarities, values.float())


def test_keys_on_disk_are_the_same_numbers(problem, monkeypatch):
    monkeypatch.setattr(shared_search, "KEYS", 100)
    queries, memory, kept = problem
    stored = feature_rows(1000, 12, memory_gb=0)
    stored.copy_(memory.features)
    on_disk = patches(stored, [400, 350, 250])
    for a, b in zip(found_by(problem), found_by((queries, on_disk, kept)), strict=True):
        assert np.array_equal(a, b)


def test_features_beyond_the_memory_lie_in_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def mapped() -> str:
        return Path("/proc/self/maps").read_text()

    assert str(tmp_path) not in mapped()
    within, beyond = feature_rows(1000, 10, memory_gb=4e-5), feature_rows(1001, 10, memory_gb=4e-5)
    assert within.shape == (1000, 10) and beyond.shape == (1001, 10)
    assert str(tmp_path) in mapped() and not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(EvaluationError, match=r"[34],[0-9]+ MiB of features do not fit into .*No space left.*set TMPDIR"):
        feature_rows(10**6, 1000, memory_gb=3.9)


def test_merge_orders_by_similarity_then_by_row():
    values = torch.tensor([[0.5, 0.1, 0.5, -torch.inf]], dtype=torch.float64)
    similarities, rows = merge(values, torch.tensor([[9, 3, 4, 2**63 - 1]]), 3)
    assert similarities.tolist() == [[0.5, 0.5, 0.1]] and rows.tolist() == [[4, 9, 3]]
