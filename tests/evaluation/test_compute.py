"""Where evaluations compute: fp32 means fp32, on a GPU too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cribo import params
from cribo.evaluation.compute import join
from cribo.evaluation.segmentation import run
from cribo.training.distributed import World


def precision():
    """Of products, of products on a GPU, of convolutions on one."""
    return (
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
    )


FULL = ("highest", False, False)


@pytest.fixture(params=["highest", "high"])
def outside(request):
    """The state before: torch's own, which lets convolutions have TF32, or one that lets products have it, too."""
    before = precision()
    torch.set_float32_matmul_precision(request.param)
    torch.backends.cudnn.allow_tf32 = True
    yield precision()
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[2]


def test_an_evaluation_has_no_tf32_and_leaves_the_state_as_it_was(outside):
    with join("cpu", 1):
        assert precision() == FULL
    assert precision() == outside != FULL


def test_the_state_comes_back_after_an_error_too(outside):
    with pytest.raises(KeyError), join("cpu", 1):
        raise KeyError
    assert precision() == outside


def test_decoders_are_trained_and_judged_without_tf32(outside, write_set, tmp_path, monkeypatch):
    seen = []

    def noted(*_):
        seen.append(precision())
        raise InterruptedError

    monkeypatch.setattr(run, "load_encoder", noted)
    data = write_set(tmp_path / "photos", {"train": [(32, 32)], "val": [(32, 32)]})
    compute, world = params.load("recipes/demo.yaml").compute, World(0, 1, torch.device("cpu"))
    with pytest.raises(InterruptedError):
        run.evaluate("segmenter", Path("encoder"), data, {}, 1e-3, tmp_path / "out", tmp_path, compute, world)
    assert seen == [FULL] and precision() == outside
