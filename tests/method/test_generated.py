"""A GPU's tensors go through the compiled function, all others through the function itself."""

from types import SimpleNamespace

import pytest
import torch

from cribo.method.generated import generated


@pytest.mark.parametrize(
    ("cuda", "count", "way"), [(True, 3, "compiled"), (False, 3, "written"), (True, 0, "written"), (False, 0, "written")]
)
def test_only_numbers_on_a_gpu_go_through_compiled_code(monkeypatch, cuda, count, way):
    monkeypatch.setattr(torch, "compile", lambda function: lambda *arguments: ("compiled", *arguments))

    def function(*arguments):
        return ("written", *arguments)

    first = SimpleNamespace(is_cuda=cuda, numel=lambda: count)
    assert generated(function)(first, 4, "x") == (way, first, 4, "x")


def test_a_function_is_compiled_once(monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "compile", lambda function: calls.append(function) or function)
    for _ in range(3):
        assert generated(len_of)(torch.ones(3, 2)) == 3
    assert calls == [len_of]


def len_of(x):
    return len(x)
