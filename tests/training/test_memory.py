"""The memory estimate against tensors, and against a measured run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cribo.params import merged
from cribo.training.memory import memory_estimate
from cribo.training.optimiser import set_hyperparameters
from cribo.training.state import initial_state


def state_of(settings, precision="fp32"):
    return initial_state(settings, torch.device("cpu"), bf16=precision == "bf16")


@pytest.mark.parametrize("norm_last_layer", [True, False])
def test_weights_gradients_optimiser_and_bank_are_the_bytes_of_their_tensors(settings, norm_last_layer):
    settings["head"]["norm_last_layer"] = norm_last_layer
    state = state_of(settings)
    for parameter in state.student.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    set_hyperparameters(state.optimiser, 0.1, 0.1)
    state.optimiser.step()
    size = memory_estimate(settings, state, 8, "cpu")
    networks = [*state.student.parameters(), *state.teacher.parameters()]
    moments = [t for held in state.optimiser.state.values() for t in held.values() if t.ndim]
    bank = state.bank
    assert size.weights == sum(p.nbytes for p in networks)
    assert size.gradients == sum(p.grad.nbytes for p in networks if p.grad is not None)
    assert size.optimiser == sum(t.nbytes for t in moments)
    S, K, d = settings["memory_bank"]["images"], settings["clustering"]["K"], bank.units.shape[-1]
    assert size.bank == 2 * S * K * (d + 1) * 4 + S * (33 * K + 8)
    assert size.total == sum(vars(size).values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_are_what_autograd_keeps_within_a_quarter(settings, precision):
    settings = merged(settings, {"drop_path": 0.0, "views": {"size": 64}, "head": {"hidden": 128, "bottleneck": 32}})
    state, kept = state_of(settings, precision), {}
    weights = {p.untyped_storage().data_ptr() for p in state.student.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        state.student(torch.randn(16, 3, 64, 64), torch.randint(0, 4, (8, 128)), 4)
    measured = sum(size for size, _ in kept.values())
    assert 0.8 < memory_estimate(settings, state, 8, "cpu").activations / measured < 1.25


def test_the_total_is_within_a_factor_of_one_and_a_half_of_a_measured_step():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("memory is read from /proc, which this system lacks")
    run = subprocess.run(
        [sys.executable, "-m", "tests.training.measured_step"], stdout=subprocess.PIPE, check=True, text=True
    )
    found = json.loads(run.stdout)
    assert 1 / 1.5 < found["estimate"] / found["measured"] < 1.5, found
