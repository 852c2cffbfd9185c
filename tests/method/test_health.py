"""Each signal of health against its slow restatement."""

import math
from pathlib import Path

import pytest
import torch

from cribo.method.health import centre_entropy, neighbour_signals, object_signals
from cribo.method.memory_bank import MemoryBank, ages, push, retrieve
from tests.method.test_step import run, setting


def test_live_clusters_hold_a_token_and_valid_objects_are_counted_an_image():
    labels = torch.tensor([[0, 0, 3, 1], [2, 2, 2, 2]])
    valid = torch.tensor([[True, False, False, True, False], [False, False, True, False, False]])
    signals = object_signals(labels, valid)
    assert signals["live_clusters"] == (len({0, 3, 1}) + len({2})) / 2
    assert signals["valid_objects"] == (2 + 1) / 2


def test_bootstrapping_is_counted_by_direction_and_age_over_what_was_found():
    g = torch.Generator().manual_seed(0)
    accepted, found = (torch.rand(2, 3, 4, generator=g) < 0.5 for _ in range(2))
    steps = torch.randint(1, 9, (2, 3, 4), generator=g)
    signals = neighbour_signals(accepted, found, steps)
    for m in range(2):
        assert signals[f"bootstrapping_{m + 1}"] == sum(accepted[m].flatten().tolist()) / 12
    listed = [int(steps[i]) for i in zip(*found.nonzero(as_tuple=True), strict=True)]
    torch.testing.assert_close(signals["bank_age"], torch.tensor(sum(listed) / len(listed)))
    assert neighbour_signals(accepted, torch.zeros_like(found), steps)["bank_age"] == 0


def test_ages_are_the_steps_since_each_image_was_added_also_after_wrapping_around():
    g, images = torch.Generator().manual_seed(0), 3
    bank, added = MemoryBank.empty(10, 2, 4), {}
    for step in range(9):
        objects = torch.randn(2, images, 2, 4, generator=g)
        if step:
            found = retrieve(bank, objects, torch.ones(images, 2, dtype=torch.bool))
            expected = [step - added[int(bank.image_ids[slot])] for slot in found.slots.flatten()]
            assert ages(bank, found.slots, images).flatten().tolist() == expected
        push(bank, objects, torch.ones(images, 2, dtype=torch.bool), torch.arange(images) + step * images)
        added |= dict.fromkeys(range(step * images, (step + 1) * images), step)


@pytest.mark.parametrize("temperature", [0.04, 1.0])
def test_centre_entropy_is_that_of_its_softmax_and_log_l_at_the_start(temperature):
    centre = torch.randn(7, generator=torch.Generator().manual_seed(0))
    weights = [math.exp(c / temperature) for c in centre.double().tolist()]
    expected = -sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights)
    torch.testing.assert_close(centre_entropy(centre, temperature), torch.tensor(expected))
    torch.testing.assert_close(centre_entropy(torch.zeros(7), temperature), torch.tensor(7.0).log())


def test_every_signal_of_a_step_is_explained_in_the_docs():
    teacher, student, centres, bank, how = setting()
    run(teacher, student, centres, bank, how, seed=1)
    teaching, losses, _ = run(teacher, student, centres, bank, how)
    text = Path("docs/method.md").read_text().partition("## Signals of health")[2]
    signals = losses.terms.keys() | teaching.health.keys()
    assert {"bank_age", "centre_entropy_objects", "bootstrapping_2"} <= signals
    assert not [name for name in signals if f"`{name}`" not in text]
    steps = torch.ones_like(teaching.accepted)  # all that the bank holds came in the step before
    expected = object_signals(teaching.labels, teaching.valid)
    expected |= neighbour_signals(teaching.accepted, teaching.valid.expand(2, -1, -1), steps)
    assert teaching.health == expected and teaching.accepted.sum() < 2 * teaching.valid.sum()
