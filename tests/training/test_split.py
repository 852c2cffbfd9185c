"""How a batch is split over processes and micro-batches changes nothing but the order of sums."""

import json

import pytest
import torch

from cribo.params import merged
from cribo.training.engine.log import PACE
from cribo.training.loop import train
from tests.training.runs import ALONE, finish, flat, made, result, start

# Gradients of one batch summed in another order differ by fp32 rounding, about 1e-7 of the sum. Adam divides them by their
# own size, so where a gradient is itself rounding a weight may move by a whole learning rate in another direction: 20 steps
# of at most 2.5e-4 (the peak here, 0.008 · 8 / 256), of which few point one way. Losses average over all weights.
WEIGHTS = {"rtol": 1e-4, "atol": 2e-4}
LOSSES = 1e-4


@pytest.fixture
def wide(settings):
    """21 steps with drop path, and groups as wide as the batch, which two processes must share."""
    changes = {
        "drop_path": 0.2,
        "clustering": {"normalise_images": 8},
        "matching": {"pool_images": 8},
        "optimisation": {"epochs": 7},
    }
    return merged(settings, changes)


def test_one_process_two_processes_two_accumulation_steps_and_a_sharded_bank_agree(
    tmp_path, wide, settings, photos, compute
):
    narrow = merged(wide, {"clustering": {"normalise_images": 2}, "matching": {"pool_images": 2}})
    ways = {
        "accumulated": (wide, compute.model_copy(update={"micro_batch": 4})),
        "uneven": (wide, compute.model_copy(update={"micro_batch": 3})),
        "narrow-alone": (narrow, compute),
        "alone": (wide, compute),
    }
    finish(start(tmp_path, ways, photos, processes=1))
    twice = {
        "two": (wide, compute),
        "sharded": (wide, compute.model_copy(update={"shard_bank": True})),
        "all": (wide, compute.model_copy(update={"shard_bank": True, "micro_batch": 3, "recompute": True})),
        "narrow-two": (narrow, compute),
    }
    finish(start(tmp_path, twice, photos, processes=2))

    for name in [*ways, *twice]:
        reference = "narrow-alone" if name.startswith("narrow") else "alone"
        one, other = result(tmp_path, reference), result(tmp_path, name)
        assert len(one["accepted"]) == 18 and sum(x.sum() for x in one["accepted"]) > 0
        for a, b in zip(one["accepted"], other["accepted"], strict=True):
            assert torch.equal(a, b), name
        for exact in ("image_ids", "valid"):
            assert torch.equal(one["bank"][exact], other["bank"][exact])
        assert one["bank"]["pushed"] == other["bank"]["pushed"]
        compared = {key: one[key] for key in ("student", "teacher", "centres")} | {"bank": one["bank"]["units"]}
        for key, value in flat(compared).items():
            got = flat({**other, "bank": other["bank"]["units"]})[key]
            torch.testing.assert_close(got, value, **WEIGHTS, msg=lambda m, key=key, name=name: f"{name} {key}: {m}")
        for a, b in zip(lines(tmp_path / reference), lines(tmp_path / name), strict=True):
            ages = a.pop("bank_age", None), b.pop("bank_age", None)  # a mean of the processes' own means
            assert ages[0] == ages[1] or ages[1] == pytest.approx(ages[0], rel=0.02)
            assert b == pytest.approx(a, rel=LOSSES), name


def lines(folder):
    entries = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in entry.items() if key != PACE} for entry in entries]


def test_a_run_goes_on_with_another_split(tmp_path, wide, photos, compute):
    """A state is the same whoever wrote it: half a run with a sharded bank, the rest in micro-batches."""
    records, folder = list(photos.splits["train"]), made(tmp_path / "run")
    whole = train(wide, records, made(tmp_path / "whole"), compute, ALONE)
    train(wide, records, folder, compute.model_copy(update={"shard_bank": True}), ALONE)
    newest = sorted(folder.glob("state-*.pt"))[-1]
    newest.unlink()
    state = train(wide, records, folder, compute.model_copy(update={"micro_batch": 2}), ALONE)
    for a, b in zip(whole.teacher.parameters(), state.teacher.parameters(), strict=True):
        torch.testing.assert_close(a, b, **WEIGHTS)
