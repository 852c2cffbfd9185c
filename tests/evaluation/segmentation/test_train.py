"""The loop: frozen stays frozen, a killed run goes on bit for bit, processes share a batch, each parameter acts."""

import copy
import json
import math
import os
import signal
import time
from contextlib import nullcontext

import pytest
import torch
from mmengine.optim import OptimWrapper, PolyLR

from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.segmentation import decoders
from cribo.evaluation.segmentation import train as training
from cribo.evaluation.segmentation.crops import Crops
from cribo.evaluation.segmentation.train import initial_state, polynomial, train
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.interruption import Interrupted

ALONE = World(0, 1, torch.device("cpu"))
LR = 1e-2


@pytest.fixture
def run(own_encoder, photos, compute, tmp_path):
    def run(protocol, settings, name="run", world=ALONE, layers=1, background=False):
        encoder = copy.deepcopy(own_encoder)
        if protocol == "linear":
            model = decoders.linear(encoder, settings, layers, 4, 255)
        else:
            model = decoders.segmenter(encoder, settings, 4, 255)
        (tmp_path / name).mkdir(exist_ok=True)
        state = initial_state(model, settings["weight_decay"])
        crops = Crops(photos.splits["train"], settings, 4, 255)
        own = compute.model_copy(update={"save_in_background": background})
        return train(state, crops, settings, LR, tmp_path / name, own, world)

    return run


@pytest.fixture(params=["linear", "segmenter"])
def protocol(request):
    return request.param


@pytest.fixture
def settings(protocol, linear_settings, segmenter_settings):
    return linear_settings if protocol == "linear" else segmenter_settings


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def equal(one, two):
    a, b = one.trained(), two.trained()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_frozen_encoder_keeps_every_parameter_and_buffer_bit_for_bit(own_encoder, run, linear_settings):
    before = {
        name: value.clone()
        for name, value in run("linear", {**linear_settings, "iterations": 1}).model.backbone.state_dict().items()
    }
    state = run("linear", {**linear_settings, "iterations": 12, "drop_path": 0.5, "weight_decay": 0.1}, "longer")
    after = state.model.backbone.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[key], value) for key, value in before.items())
    names = [name for name in own_encoder.net.state_dict() if name != "pos_embed"]
    assert all(torch.equal(after[f"vit.{name}"], own_encoder.net.state_dict()[name]) for name in names)
    assert not state.model.backbone.vit.norm.weight.requires_grad and len(state.optimiser.param_groups[0]["params"]) == 2


def test_finetuning_moves_every_parameter(run, segmenter_settings, own_encoder):
    state = run("segmenter", segmenter_settings)
    start = decoders.segmenter(own_encoder, segmenter_settings, 4, 255).state_dict()
    still = [name for name, value in state.model.named_parameters() if torch.equal(value, start[name])]
    assert still == []


def test_a_saved_state_holds_the_encoder_only_where_it_is_trained(run, protocol, settings):
    saved = run(protocol, {**settings, "iterations": 1}).to_dict()
    assert any(name.startswith("backbone.") for name in saved["trained"]) == (protocol == "segmenter")
    assert any(name.startswith("decode_head.") for name in saved["trained"]) and saved["step"] == 1


def test_training_lowers_the_loss(run, protocol, settings, tmp_path):
    run(protocol, {**settings, "iterations": 40})
    found = losses(tmp_path / "run")
    assert sum(found[-5:]) < 0.9 * sum(found[:5])


def test_a_run_that_stopped_between_saves_ends_with_the_same_bits(run, protocol, settings, tmp_path, monkeypatch):
    whole = run(protocol, settings, "whole")

    class Killed(Exception):
        pass

    save = checkpoint.save

    def save_then_die(folder, step, state, keep):
        save(folder, step, state, keep)
        if step == 6:
            raise Killed

    monkeypatch.setattr(training.checkpoint, "save", save_then_die)
    with pytest.raises(Killed):
        run(protocol, settings, "stopped")
    monkeypatch.setattr(training.checkpoint, "save", save)
    assert equal(run(protocol, settings, "stopped"), whole)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


def test_sigterm_saves_and_the_same_call_goes_on(run, settings, protocol, monkeypatch):
    whole, prepare, calls = run(protocol, settings, "whole"), training.prepare, []

    def prepare_and_signal(model, batch):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return prepare(model, batch)

    monkeypatch.setattr(training, "prepare", prepare_and_signal)
    with pytest.raises(Interrupted, match="after iteration 4 of 8"):
        run(protocol, settings, "stopped")
    assert equal(run(protocol, settings, "stopped"), whole) and len(calls) == 8


def test_the_schedule_is_mmengine_s():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = OptimWrapper(torch.optim.Adam([weight], lr=8e-4))
    schedule = PolyLR(optimiser, eta_min=8e-5, power=0.9, begin=0, end=50, by_epoch=False)
    for step in range(50):
        assert math.isclose(optimiser.get_lr()["lr"][0], polynomial(8e-4, 8e-5, step, 50), rel_tol=1e-9)
        weight.grad = torch.ones(1)
        optimiser.optimizer.step()
        schedule.step()


def test_the_rate_ends_where_it_shall_and_each_iteration_draws_a_drop_path_of_its_own(
    run, linear_settings, tmp_path, monkeypatch
):
    drawn, seed_of = [], training.seed_of
    monkeypatch.setattr(training, "seed_of", lambda *stream: drawn.append(seed_of(*stream)) or drawn[-1])
    run("linear", {**linear_settings, "end_lr": [0.1, 1e-4]})
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    end = 0.1 * LR + 1e-4
    assert [json.loads(line)["lr"] for line in lines] == [polynomial(LR, end, step - 1, 8) for step in (2, 4, 6, 8)]
    assert json.loads(lines[-1])["lr"] == end and len(set(drawn)) == 8


def test_what_is_logged_and_kept_is_every_few_iterations_and_the_last(run, linear_settings, tmp_path, capfd):
    run("linear", {**linear_settings, "iterations": 7})
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(2, 1), (4, 3), (6, 4), (7, 5)]  # of 5 photos, 4 a batch
    assert all(line["loss"] > 0 and 0 <= line["accuracy"] <= 100 for line in lines)
    assert sorted(path.stem for path in (tmp_path / "run").glob("*.pt")) == ["state-00000006", "state-00000007"]
    assert "resuming after" not in capfd.readouterr().err
    run("linear", {**linear_settings, "iterations": 9})
    assert "resuming after iteration 7 of 9" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weight_decay", 0.5),
        ("end_lr", [0.0, 1e-2]),
        ("drop_path", 0.6),
        ("seed", 1),
        ("batch_size", 2),
        ("iterations", 9),
        ("statistics", "half"),
    ],
)
def test_every_parameter_of_the_training_acts(run, linear_settings, key, value):
    assert not equal(run("linear", linear_settings, "before"), run("linear", {**linear_settings, key: value}, "after"))


def test_layer_norm_acts_where_several_blocks_are_read(run, linear_settings):
    each = {**linear_settings, "layer_norm": "each"}
    assert not equal(run("linear", linear_settings, "last", layers=2), run("linear", each, "each", layers=2))
    assert equal(run("linear", linear_settings, "one"), run("linear", each, "one_each"))


def test_a_batch_that_cannot_be_shared_is_refused(run, linear_settings):
    with pytest.raises(EvaluationError, match="batch of 4 cannot be split over 3 processes"):
        run("linear", linear_settings, world=World(0, 3, torch.device("cpu")))


def test_a_loss_that_is_not_finite_stops_the_run(run, linear_settings, monkeypatch):
    monkeypatch.setattr(training, "polynomial", lambda *_: float("nan"))
    with pytest.raises(FloatingPointError, match="lower learning_rates"):
        run("linear", linear_settings)


def test_a_state_that_is_being_saved_as_the_run_breaks_off_or_ends_is_saved_whole(
    run, linear_settings, tmp_path, monkeypatch
):
    save, prepare, calls = checkpoint.save, training.prepare, []

    def saved_late(*state):
        time.sleep(0.3)
        save(*state)

    def broken(model, batch):
        calls.append(1)
        if len(calls) == 4:  # just after the first save has begun
            raise RuntimeError("broken")
        return prepare(model, batch)

    monkeypatch.setattr(checkpoint, "save", saved_late)
    monkeypatch.setattr(training, "prepare", broken)
    for ends, newest in ((pytest.raises(RuntimeError), 3), (nullcontext(), 8)):
        with ends:
            run("linear", linear_settings, background=True)
        assert max(path.name for path in (tmp_path / "run").iterdir() if path.suffix == ".pt") == f"state-{newest:08}.pt"


def test_a_last_state_that_could_not_be_saved_is_no_trained_decoder(run, linear_settings, monkeypatch):
    def full(folder, step, *_):
        if step == 8:
            raise OSError("no room")

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(OSError, match="no room"):
        run("linear", linear_settings, background=True)


def test_a_state_of_another_decoder_is_refused(run, linear_settings, segmenter_settings):
    run("linear", linear_settings)
    with pytest.raises(EvaluationError, match="another decoder"):
        run("segmenter", segmenter_settings)
