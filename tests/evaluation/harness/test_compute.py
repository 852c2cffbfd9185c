"""Where evaluations compute: fp32 means fp32, on a GPU too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cribo import params
from cribo.evaluation.harness.compute import join
from stages import linear_segmentation, segmenter


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


@pytest.mark.parametrize(("stage", "cell"), [(linear_segmentation, ("1", "1e-3")), (segmenter, ("1e-3",))])
def test_decoders_are_trained_and_judged_without_tf32(stage, cell, outside, monkeypatch):
    seen = []
    demo = params.load("recipes/demo.yaml")
    monkeypatch.setattr(stage, "load", lambda _: demo)
    monkeypatch.setattr(stage, "open_set", lambda name: name)
    monkeypatch.setattr(stage.plan, "read", lambda _: {"dataset": "photos"})
    monkeypatch.setattr(stage.plan, "made", lambda *_: Path("encoder"))
    monkeypatch.setattr(stage, "evaluate", lambda *_: seen.append(precision()))
    stage.main("model", "photos", *cell)
    assert seen == [FULL] and precision() == outside
