"""What is said before the first step."""

import torch

from cribo.fidelity import in_force
from cribo.params import merged
from cribo.training.startup import opening
from cribo.training.state import initial_state


def state_of(settings):
    return initial_state(settings, torch.device("cpu"))


def test_the_opening_gives_batch_scaled_learning_rate_and_steps(settings):
    changed = merged(settings, {"optimisation": {"batch_size": 64, "base_lr": 0.001, "epochs": 3, "warmup_epochs": 2}})
    lines = opening(changed, 1000, state_of(changed), 4, "cpu")
    assert lines[0] == "batch: 64 images a step, 16 on each of 4 processes (cpu)"
    assert lines[1] == "learning rate: 0.001 × 64/256 = 0.00025 at its peak, after 2 epochs"
    assert lines[2] == "steps: 3 epochs of 15 = 45, from 1000 photos"
    assert lines[3].startswith("memory: about ") and "bank" in lines[3] and "Python and torch" in lines[3]
    assert len(lines) == 4 + len(in_force(changed))


def test_the_opening_lists_each_departure_from_paper_or_released_code(settings):
    changed = merged(settings, {"clustering": {"marginals": "uniform"}})
    lines = [line for line in opening(changed, 100, state_of(changed), 1, "cpu") if "clustering.marginals" in line]
    assert len(lines) == 1 and "D1 clustering.marginals: uniform (released code histogram)" in lines[0]
