"""The doctor says what it finds, and names what stands in the way."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cribo import doctor, measure, pace, params, plan
from cribo.data.prepared.readers import PreparedSet, Record
from cribo.method import teacher
from cribo.params.data import Folder, Published, Unmasked, Voc
from tests.processes import run_m


@pytest.fixture
def small():
    """The demo with one model, at 32 px."""
    demo = params.load("recipes/demo.yaml")
    overlay = {"views": {"size": 32}, "matching": {"first_epoch": 0}, "optimisation": {"epochs": 20, "batch_size": 32}}
    trained = {"cribo": params.merged(demo.models.trained["cribo"], overlay)}
    return demo.model_copy(update={"models": demo.models.model_copy(update={"trained": trained})})


@pytest.fixture
def photos(tmp_path):
    """40 photos of noise."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "0.png")
    records = tuple(Record(str(i), tmp_path / "0.png", None, 40, 40) for i in range(40))
    return PreparedSet("noise", ("background",), 255, "0" * 64, {"train": records, "val": ()}, "", "")


def test_a_training_is_foretold_from_a_few_steps_of_it(small, photos, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "open_set", lambda _name: photos)
    found = doctor.examine(small, images=2)
    said = capsys.readouterr().out
    assert not found.obstacles
    for word in ("machine", "device     cpu", "GB free here", "scenes: 40 train", "20 steps, about", "img/s", "loader"):
        assert word in said
    assert "32 images per process, 32 at once" in said


def test_photos_that_are_gone_groups_that_do_not_fit_and_a_full_disk_are_obstacles(small, photos, monkeypatch, tmp_path):
    monkeypatch.setattr(pace, "measure", lambda *_a, **_k: measure.Measured(1, 0.1, 0, 10**15, {}))
    monkeypatch.setattr(doctor, "open_set", lambda _name: photos)
    monkeypatch.setattr(doctor, "peak_memory", lambda _device: 10**15)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path: type("Disk", (), {"free": 10**6}))
    needy = doctor.examine(small, images=1).obstacles
    assert any("set compute.micro_batch" in o for o in needy) and any("GB of disk" in o for o in needy)
    (tmp_path / "0.png").unlink()
    assert any("which is gone" in o for o in doctor.examine(small, images=1).obstacles)
    monkeypatch.setenv("CRIBO_GPUS", "3")
    assert any("cannot be split over 3 processes" in o for o in doctor.examine(small, images=1).obstacles)


def test_disk_is_measured_where_the_states_go(monkeypatch, tmp_path):
    here, scratch = tmp_path / "here", tmp_path / "scratch/resume"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: type("Disk", (), {"free": len(str(place))}))
    assert doctor._free_for_states() == len(str(here))  # before any training
    Path(".resume").symlink_to(scratch)
    found = doctor.Findings()
    doctor._machine(found, doctor.pick_device("cpu"))
    assert doctor._free_for_states() == len(str(tmp_path)) and f".resume is a link to {scratch}" in found.obstacles[0]
    scratch.mkdir(parents=True)
    assert doctor._free_for_states() == len(str(scratch))


def test_workers_beyond_the_cores_do_not_load_faster(small, photos, monkeypatch, capsys):
    monkeypatch.setattr(pace, "measure", lambda *_a, **_k: measure.Measured(1, 1e-6, 0, 10**8, {}))
    monkeypatch.setattr(doctor, "open_set", lambda _name: photos)
    monkeypatch.setattr(doctor, "loading_rate", lambda *_a: 10.0)
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    for workers, told in ((2, "loader 20 img/s;.* raise compute.workers from 2"), (8, "loader 30 img/s;.* all 3 CPU cores")):
        many = small.model_copy(update={"compute": small.compute.model_copy(update={"workers": workers})})
        doctor.examine(many, images=1)
        assert re.search(told, capsys.readouterr().out)


def test_photos_of_a_set_that_is_not_prepared_are_assumed_where_something_tells_them(small, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pace, "measure", lambda *_a, **_k: measure.Measured(1, 0.1, 0, 10**8, {}))
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    doctor.examine(small, images=1)
    said = capsys.readouterr().out
    assert "scenes: not there" in said and "1,000 train images assumed, as data.scenes.train asks" in said
    assert "620 steps, about" in said and "if loading keeps up" in said
    mine = small.model_copy(update={"data": {"scenes": Folder(kind="folder", path=None, train="train")}})
    doctor.examine(mine, images=1)
    said = capsys.readouterr().out
    assert "no time: `dvc repro prepare@scenes` counts them" in said and "img/s" in said and "steps, about" not in said
    voc = {"kind": "voc", "path": None, "val": "val", "masks": "SegmentationClass"}
    sets = [Published(kind="coco_stuff"), Voc(train="train_aug", **voc), Voc(train="somebodys", **voc)]
    assert [doctor._assumed(doctor.Findings(), "x", about) for about in sets] == [118287, 10582, 0]


def test_memory_is_foretold_before_anything_is_measured(small, photos, monkeypatch, capsys):
    def measured(*_args, **_more):
        said = capsys.readouterr().out
        assert re.search(r"memory     cribo: predicted, .* per process .*WARNING.*\ntrying     cribo", said)
        raise InterruptedError

    monkeypatch.setattr(doctor, "open_set", lambda _name: photos)
    monkeypatch.setattr(doctor, "peak_memory", lambda _device: 10**15)
    monkeypatch.setattr(pace, "measure", measured)
    with pytest.raises(InterruptedError):
        doctor.examine(small, images=None)


def test_on_a_cpu_a_large_step_is_scaled_from_small_ones_and_never_compiled(small, monkeypatch):
    settings = params.merged(plan.pretrain_settings(small.model("cribo")), {"memory_bank": {"images": 25000}})
    compute, tried = small.compute.model_copy(update={"compile": True}), []

    def measured(settings, compute, _device, images, steps, phases):
        assert phases and not compute.compile and settings["memory_bank"]["images"] == 1000
        tried.append(images)
        return measure.Measured(images, 0.5 + 0.3 * images, 0, 0, {"nn_retrieval": 0.1 * images})

    monkeypatch.setattr(pace, "measure", measured)
    found = pace.try_steps_on_cpu(settings, compute, 256, None, 60.0)
    assert tried == [1, 1, 64] and found.each == pytest.approx(0.5 / 256 + 0.3 + 0.1 * 24)
    assert found.how == "scaled from steps of 1 and 64 images and a bank of 1,000 images for 25,000, not compiled"
    tried.clear()
    monkeypatch.setattr(pace.time, "perf_counter", iter((0.0, 50.0)).__next__)
    pace.try_steps_on_cpu(settings, compute, 256, None, 60.0)
    assert tried == [1]  # where this takes most of the time, no more is tried


def test_models_that_a_cpu_has_no_time_for_are_not_tried(small, photos, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "open_set", lambda _name: photos)
    monkeypatch.setattr(pace, "measure", lambda *_a, **_k: pytest.fail("measured"))
    monkeypatch.setattr(doctor, "CPU_SECONDS", -1.0)
    doctor.examine(small, images=None)
    assert re.search("model      cribo: .*not tried, as", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("path", "says"),
    [(None, "nothing says where the photos of mine are"), ("/nowhere", "/nowhere is not a folder: correct data.mine.path")],
)
def test_photos_that_prepare_would_not_find_are_an_obstacle(path, says, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRIBO_DATA", raising=False)
    Path("params.yaml").write_text(f"data: {{mine: {{kind: coco, path: {path or 'null'}}}}}\n")
    found = doctor.Findings()
    assert doctor._data(found, "mine", Unmasked(kind="coco", path=path)) is None
    assert len(found.obstacles) == 1 and re.search(says, found.obstacles[0])
    found = doctor.Findings()
    assert doctor._data(found, "mine", Unmasked(kind="coco", path=str(tmp_path))) is None and not found.obstacles


def test_prepared_data_that_cannot_be_opened_is_an_obstacle(small, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = Path("data/scenes")
    folder.mkdir(parents=True)
    (folder / "MANIFEST.json").write_text("{")
    (folder / "index.csv").write_text("")
    found = doctor.Findings()
    doctor._data(found, "scenes", small.data["scenes"])
    assert found.obstacles and "MANIFEST.json is damaged" in found.obstacles[0]


def test_models_whose_steps_cost_the_same_are_measured_once(small, monkeypatch):
    key = pace.cost_key
    settings = plan.pretrain_settings(small.model("cribo"))
    same = [{"seed": 9}, {"clustering": {"lambda_pos": 9.0}}, {"optimisation": {"epochs": 9, "base_lr": 1.0}}]
    assert {key(params.merged(settings, change)) for change in same} == {key(settings)}
    others = [{"clustering": {"K": 9}}, {"memory_bank": {"images": 9}}, {"optimisation": {"batch_size": 9}}, {"losses": []}]
    others += [{"mae": {"mask": 0.5}}, {"drop_path": 0.3}, {"optimisation": {"clip_norm": 1.0}}]
    assert len({key(params.merged(settings, change)) for change in others} | {key(settings)}) == len(others) + 1
    tried, real = [], pace.measure
    monkeypatch.setattr(pace, "measure", lambda *args, **more: tried.append(args) or real(*args, **more))
    twins = small.model_copy(deep=True)
    twins.models.trained["twin"] = params.merged(twins.models.trained["cribo"], {"seed": 9})
    doctor.examine(twins, 2)
    assert len(tried) == 3 * (len(twins.models.trained) - 1)


def test_time_is_booked_on_the_phase_in_which_it_passes(small, monkeypatch):
    settings = plan.pretrain_settings(small.model("cribo"))
    real = teacher.joint_space_clustering
    monkeypatch.setattr(teacher, "joint_space_clustering", lambda *args: (time.sleep(0.5), real(*args))[1])
    row = measure.measure(settings, small.compute, doctor.pick_device("cpu"), 2, steps=1, phases=True)
    assert set(row.phases) == {*measure.PHASES, "other"} and all(seconds > 0 for seconds in row.phases.values())
    assert row.phases["clustering"] >= 0.5 and row.phases["clustering"] == max(row.phases.values())
    assert sum(row.phases.values()) == pytest.approx(row.seconds)


def test_on_photos_steps_fill_the_bank_with_what_both_views_show(small, photos, monkeypatch):
    settings = plan.pretrain_settings(small.model("cribo"))
    settings["memory_bank"]["images"] = 12
    states, real = [], measure.initial_state
    monkeypatch.setattr(measure, "initial_state", lambda *args: states.append(real(*args)) or states[-1])
    cpu = doctor.pick_device("cpu")
    on_photos = measure.measure(settings, small.compute, cpu, 4, steps=1, records=photos.splits["train"])
    on_noise = measure.measure(settings, small.compute, cpu, 4, steps=1)
    filled, full = (state.bank for state in states)
    assert filled.pushed == 4 * (3 + 2 + 1) and filled.valid.float().mean() < 1  # three steps for 12 images, two to warm up
    assert full.pushed == 12 + 4 * (2 + 1)
    for row in (on_photos, on_noise):
        assert 0 < row.valid <= settings["clustering"]["K"]


def test_a_folder_that_is_no_bundle_is_one_sentence(tmp_path):
    done = run_m("cribo.replay", str(tmp_path))
    assert done.returncode == 1 and "holds no about.json" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("number", ["0", "-3", "two"])
def test_no_number_of_images_and_no_number_of_processes_are_one_sentence(number, small, photos, monkeypatch, capsys):
    monkeypatch.setattr(doctor.sys, "argv", ["doctor", "--images", number])
    with pytest.raises(SystemExit):
        doctor.main()
    assert f"{number} is not a number of images" in capsys.readouterr().err
    monkeypatch.setattr(doctor, "open_set", lambda _name: photos)
    monkeypatch.setenv("CRIBO_GPUS", "two")
    with pytest.raises(SystemExit, match="CRIBO_GPUS is 'two': give a whole number"):
        doctor.examine(small, images=1)
