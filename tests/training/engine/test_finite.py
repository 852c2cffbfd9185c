"""A loss that is not finite stops all processes, is never saved, and can be done again."""

import json
import math

import pytest
import torch

from cribo import replay
from cribo.training import bundle
from cribo.training.engine.finite import NonFinite, Watch, finite_weights
from cribo.training.loop import train
from tests.training.runs import ALONE, flat, made, start


@pytest.fixture
def wild(settings):
    """Weights overflow in the second step, whose loss shows it in the third."""
    settings["optimisation"] |= {"base_lr": 1e20, "warmup_epochs": 0}
    return settings


def test_the_run_stops_with_a_bundle_and_saves_nothing_that_is_not_finite(tmp_path, wild, photos, compute):
    folder = made(tmp_path / "run")
    with pytest.raises(FloatingPointError, match=r"not finite at step (\d+) \(.*python -m cribo.replay .*/nonfinite-"):
        train(wild, list(photos.splits["train"]), folder, compute.model_copy(update={"log_steps": 50}), ALONE)
    for path in folder.glob("state-*.pt"):
        assert all(w.isfinite().all() for w in flat(torch.load(path, weights_only=True)["student"]).values())
    (bundle,) = folder.glob("nonfinite-*")
    about = json.loads((bundle / "about.json").read_text())
    assert "nan" in about["values"].values() or "inf" in about["values"].values()


def test_where_the_disk_has_no_hard_links_the_bundle_holds_a_copy_of_the_state(tmp_path, wild, photos, compute, monkeypatch):
    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(bundle.os, "link", refused)
    folder = made(tmp_path / "run")
    with pytest.raises(FloatingPointError, match=r"cribo\.replay"):
        train(wild, list(photos.splits["train"]), folder, compute.model_copy(update={"checkpoint_steps": 1}), ALONE)
    (state,) = folder.glob("nonfinite-*/state-*.pt")
    assert state.read_bytes() == (folder / state.name).read_bytes()


@pytest.mark.parametrize("processes", [1, 2])
def test_replaying_a_bundle_names_the_first_value_that_is_not_finite(tmp_path, settings, photos, compute, processes):
    settings["optimisation"]["epochs"] = 2
    run = start(tmp_path, {"run": (wild_after(settings), compute)}, photos, processes)
    _, said = run.communicate(timeout=120)
    assert run.returncode != 0 and said.count("the loss is not finite at step") == 1, said
    (bundle,) = (tmp_path / "run").glob("nonfinite-*")
    assert len(list(bundle.glob("batch-*.pt"))) == processes
    first = replay.replay(bundle, photos.splits["train"])
    step = json.loads((bundle / "about.json").read_text())["step"]
    assert first is not None and first.startswith(f"step {step}: the output of ")
    with pytest.raises(ValueError, match="they have changed since"):
        replay.replay(bundle, photos.splits["train"][::-1])


def wild_after(settings):
    return {**settings, "optimisation": {**settings["optimisation"], "base_lr": 1e20, "warmup_epochs": 0}}


def test_the_command_names_the_fault_or_says_that_there_is_none_or_that_the_bundle_is_not_whole(
    tmp_path, wild, photos, compute, monkeypatch, capsys
):
    monkeypatch.setattr(replay, "open_set", lambda _: photos)
    with pytest.raises(FloatingPointError):
        train(wild, list(photos.splits["train"]), made(tmp_path / "run"), compute, ALONE)
    (bundle,) = (tmp_path / "run").glob("nonfinite-*")
    about = json.loads((bundle / "about.json").read_text())
    replay.main(str(bundle))
    assert f"first: step {about['step']}: the output of teacher." in capsys.readouterr().err

    batch = torch.load(bundle / "batch-0.pt")
    torch.save({name: value for name, value in batch.items() if name != "boxes"}, bundle / "batch-0.pt")
    with pytest.raises(ValueError, match=r"batch-0\.pt lacks boxes of the batch: let the training stop once more"):
        replay.main(str(bundle))

    torch.save(batch, bundle / "batch-0.pt")
    about["settings"]["optimisation"] |= {"base_lr": 1e-3, "warmup_epochs": 1}
    for path in bundle.glob("state-*.pt"):
        path.unlink()
    (bundle / "about.json").write_text(json.dumps(about))
    with pytest.raises(SystemExit, match=r"^every value was finite this time: the fault lies in the machine"):
        replay.main(str(bundle))


def test_values_are_looked_at_as_late_as_the_device_needs_and_none_is_missed():
    watch = Watch(ALONE)
    watch.lag = 2
    for step in (1, 2, 3):
        watch.add(step, {"loss": torch.tensor(math.nan if step == 2 else 1.0), "lr": torch.tensor(0.25)}, None)
    with pytest.raises(NonFinite, match=r"at step 2 \(loss nan, lr 0\.25\)"):
        watch.add(4, {"loss": torch.tensor(1.0)}, None)
    watch.add(5, {"loss": torch.tensor(5.0)}, None)
    assert watch.means() == {"loss": 5.0} and not watch.stopping  # nobody asked


def test_on_the_cpu_where_nothing_is_under_way_a_step_is_looked_at_at_once():
    with pytest.raises(NonFinite, match="at step 1 "):
        Watch(ALONE).add(1, {"loss": torch.tensor(math.inf)}, None)


def test_a_wish_to_stop_is_known_when_the_step_it_came_in_is_looked_at():
    watch, values = Watch(ALONE), {"loss": torch.tensor(1.0)}
    watch.lag = 1
    heard = []
    for step, stop in enumerate((False, True, True), 1):
        watch.add(step, values, None, stop)
        heard.append(watch.stopping)
    assert heard == [False, False, True]


def test_one_weight_that_is_no_number_is_found():
    weights = [torch.ones(3), torch.ones(2, 2)]
    assert finite_weights(weights) and finite_weights([torch.full((3,), 1e30)])  # whose squares are too large
    weights[1][0, 0] = torch.inf
    assert not finite_weights(weights)
