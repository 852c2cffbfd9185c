"""Rows that count come first, and no other is computed."""

import pytest
import torch

from cribo.method.rows import Rows, counted_first


@pytest.mark.parametrize("counts", [[], [0, 0], [1, 1, 1], [0, 1, 1, 0, 0, 1, 0]])
def test_rows_that_count_come_first_and_all_keep_their_order(counts):
    expected = [i for i, x in enumerate(counts) if x] + [i for i, x in enumerate(counts) if not x]
    assert counted_first(torch.tensor(counts, dtype=torch.bool)).tolist() == expected


def test_the_rows_that_count_are_found_and_no_others():
    rows = Rows.of(torch.tensor([0, 1, 1, 0, 0, 1, 0], dtype=torch.bool))
    assert rows.indices().tolist() == [1, 2, 5]


def test_where_nothing_counts_there_are_no_rows():
    assert Rows.of(torch.zeros(4, dtype=torch.bool)).indices().tolist() == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_asking_for_the_rows_leaves_later_work_running():
    square = torch.rand(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    rows = Rows.of(torch.arange(4096, device="cuda") % 3 == 0)
    for _ in range(20):  # tens of milliseconds
        square = square @ square * 1e-4
    later = torch.cuda.Event()
    later.record()
    assert len(rows.indices()) == 1366 and not later.query()
