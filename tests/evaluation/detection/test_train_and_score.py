"""Finetuning that is stopped and goes on, and AP against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import time
from functools import partial

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cribo.evaluation.detection import run, train
from cribo.evaluation.detection.augment import val_sample
from cribo.evaluation.detection.boxes import boxes_of
from cribo.evaluation.detection.run import fingerprint, judge
from cribo.evaluation.detection.score import average_precision, detect, entries
from cribo.evaluation.detection.train import Order, finetune, learning_rate, network_input, sizes_of
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.harness.result import Meter
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World, join_world
from cribo.training.engine.interruption import Interrupted
from cribo.training.engine.log import Journal, read_records
from tests.evaluation.detection.conftest import open_squares
from tests.processes import Forks

ALONE = World(0, 1, torch.device("cpu"))


def official(data, detections):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data.instances["val"]))
        judged = COCOeval(truth, truth.loadRes(detections), "bbox")
        judged.evaluate(), judged.accumulate(), judged.summarize()
    return np.where(judged.stats[:6] < 0, np.nan, judged.stats[:6])


def test_the_detector_sees_photos_with_the_encoders_mean_and_deviation(encoder, data, settings):
    samples = [val_sample(data.splits["val"][n], sizes_of(settings, 8)) for n in (0, 2)]
    for sample, ours in zip(samples, network_input(encoder, samples), strict=True):
        expected = (sample.image / 255 - np.array(encoder.mean)) / np.array(encoder.std)
        np.testing.assert_allclose(ours.permute(1, 2, 0), expected, rtol=1e-5)


def test_average_precision_is_that_of_pycocotools(data):
    rng = np.random.default_rng(0)
    detections = []
    for photo in data.splits["val"]:
        for box, category in zip(photo.boxes, photo.categories, strict=True):
            for _ in range(3):
                moved = box + rng.normal(0, 2, 4)
                size = [max(1.0, moved[2] - moved[0]), max(1.0, moved[3] - moved[1])]
                guess = int(category if rng.random() < 0.8 else 4 - category)
                bbox = [float(moved[0]), float(moved[1]), *map(float, size)]
                score = float(rng.random())
                detections.append({"image_id": photo.id, "category_id": guess, "bbox": bbox, "score": score})
    found = average_precision(data, detections)
    np.testing.assert_allclose(list(found.stats.values()), official(data, detections), atol=1e-6)
    assert 0.1 < found.stats["AP"] < 0.9
    assert np.nanmean(list(found.per_class.values())) == pytest.approx(found.stats["AP"], abs=1e-6)


def found_all(data):
    """Detections that are the true boxes."""
    return [
        {"image_id": photo.id, "category_id": int(category), "bbox": [x, y, right - x, bottom - y], "score": 0.9}
        for photo in data.splits["val"]
        for (x, y, right, bottom), category in zip(photo.boxes.tolist(), photo.categories, strict=True)
        if right > x and bottom > y
    ]


def edited_boxes(coco, folder, edit):
    """The squares with annotations of val that `edit` changed."""
    shutil.copytree(coco, folder / "coco")
    path = folder / "coco/annotations/instances_val2017.json"
    tree = json.loads(path.read_text())
    edit(tree["annotations"])
    path.write_text(json.dumps(tree))
    return boxes_of(open_squares(folder / "coco", folder / "data"))


def test_true_boxes_without_width_or_height_are_counted_and_never_found_as_in_pycocotools(coco, data, tmp_path):
    def flatten(annotations):
        entry = next(e for e in annotations if not e["iscrowd"])
        x, y, _, h = entry["bbox"]
        annotations.append({**entry, "id": 1000, "bbox": [x, y, 0, h], "area": 0})

    flat = edited_boxes(coco, tmp_path, flatten)
    detections = found_all(flat)
    found = average_precision(flat, detections)
    np.testing.assert_allclose(list(found.stats.values()), official(flat, detections), atol=1e-6)
    assert found.stats["AP"] < average_precision(data, detections).stats["AP"] == pytest.approx(1)
    boxes = [sum(len(photo.boxes) for photo in which.splits["val"]) for which in (data, flat)]
    assert boxes[1] == boxes[0] + 1


def test_annotations_counted_from_zero_score_as_counted_from_one(coco, data, tmp_path):
    def from_zero(annotations):
        for n, entry in enumerate(annotations):
            entry["id"] = n

    counted, detections = edited_boxes(coco, tmp_path, from_zero), found_all(data)
    np.testing.assert_equal(average_precision(counted, detections), average_precision(data, detections))


def test_no_detection_is_a_precision_of_zero(data):
    found = average_precision(data, [])
    assert found.stats["AP"] == 0 and found.per_class["red"] == 0
    photo = data.splits["val"][0]
    wrong = {"image_id": photo.id, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.9}
    np.testing.assert_equal(found, average_precision(data, [wrong]))  # unknown where there is no true box, as always


def test_entries_are_boxes_in_px_of_the_photo_and_known_categories(data):
    photo = data.splits["val"][0]  # 48 × 40 px
    logits = torch.full((3, 5), -9.0)
    logits[0, 1], logits[1, 2], logits[2, 4], logits[2, 3] = 9, 9, 9, 5  # the last column is "no object"
    found = entries(logits, torch.tensor([[0.5, 0.6, 0.25, 0.5]]).expand(3, 4), photo, data.categories)
    assert [e["category_id"] for e in found] == [1, 3]  # 2 is no category here
    assert found[0]["bbox"] == pytest.approx([18, 14, 12, 20]) and found[0]["score"] > 0.99 > 0.1 > found[1]["score"]


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_to_the_very_weights_of_an_undisturbed_one(
    encoder, data, settings, compute, tmp_path, monkeypatch
):
    whole = weights(finetune(encoder, data, settings, tmp_path / "whole", compute, ALONE))
    record = Journal.record

    def dies(self, step, *rest):
        record(self, step, *rest)
        if step == 4:
            raise Killed

    monkeypatch.setattr(Journal, "record", dies)
    with pytest.raises(Killed):
        finetune(encoder, data, settings, tmp_path / "killed", compute, ALONE)
    monkeypatch.setattr(Journal, "record", record)
    resumed = weights(finetune(encoder, data, settings, tmp_path / "killed", compute, ALONE))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    metrics = [read_records(tmp_path / name / "metrics.jsonl") for name in ("whole", "killed")]
    assert metrics[0] == metrics[1] and [entry["epoch"] for entry in metrics[0]] == [0, 0, 1, 1, 2, 2]
    assert [entry["lr"] for entry in metrics[0]] == [learning_rate(epoch, 3, 1e-3, 1e-5) for epoch in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize(("after", "says", "saved"), [(2, "after step 3 of 6", 3), (6, "after all 6 steps", 6)])
def test_sigterm_saves_and_says_so(encoder, data, settings, compute, tmp_path, monkeypatch, after, says, saved):
    record = Journal.record

    def terminated(self, step, *rest):
        record(self, step, *rest)
        if step == after:  # logged at the end of a step: the signal counts at the end of the next
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Journal, "record", terminated)
    rarely = compute.model_copy(update={"checkpoint_steps": 1000})
    with pytest.raises(Interrupted, match=says):
        finetune(encoder, data, settings, tmp_path / "run", rarely, ALONE)
    assert [p.name for p in (tmp_path / "run").glob("state-*")] == [f"state-{saved:08d}.pt"]


def twice(*what):
    with join_world("cpu") as world:
        for _ in range(2):
            finetune(*what, world)


def test_of_two_processes_one_says_where_a_run_goes_on(encoder, data, settings, compute, tmp_path):
    processes = Forks(partial(twice, encoder, data, {**settings, "epochs": 1}, tmp_path / "run", compute), 2)
    _, said = processes.communicate()
    assert processes.returncode == 0 and said.count("resuming after step 2 of 2") == 1, said


def test_the_log_says_how_long_the_loop_stood_waiting_for_photos(encoder, data, settings, compute, tmp_path, monkeypatch):
    def slowly(*what, read=train.training_sample):
        time.sleep(0.05)
        return read(*what)

    monkeypatch.setattr(train, "training_sample", slowly)
    finetune(encoder, data, settings, tmp_path / "run", compute, ALONE)
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert 0 < first["pace"]["data_wait"] <= 1  # nothing was read ahead of the first batch


@pytest.fixture(autouse=True)
def folders(tmp_path):
    for name in ("whole", "killed", "run"):
        (tmp_path / name).mkdir()


def test_the_state_is_left_until_the_result_is_safe(encoder, prepared, settings, compute, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run.checkpoint, "RUNS", tmp_path / "runs")
    spec = {"dataset": "squares", **settings}
    meter = Meter(torch.device("cpu"), "fp32")
    tree = judge(encoder, prepared, spec, compute, ALONE, meter)
    assert tree["protocol_id"] == "yolos" and tree["value"] == tree["AP"] and 0 <= tree["AP"] <= tree["AP50"] <= 100
    assert tree["n"]["detections"] <= 5 * 6 and set(tree["per_class"]) == {"red", "green"}
    assert tree["protocol"]["batch_size"] == 4 and {"transformers", "faster-coco-eval"} <= tree["versions"].keys()
    assert [path.name[:18] for path in (tmp_path / "runs").iterdir()] == ["yolos-tiny-squares"]
    again = judge(encoder, prepared, spec, compute, ALONE, meter)  # say, its file could not be written
    assert again | {"cost": 0} == tree | {"cost": 0} and "step 6 of 6" in capsys.readouterr().err
    monkeypatch.setattr(run, "SOURCES", ())  # as if somebody had edited them meanwhile
    assert run.run_directory(encoder, prepared, spec) == next((tmp_path / "runs").iterdir())


def test_detections_of_a_trained_detector_score_as_pycocotools_says(encoder, data, settings, compute, tmp_path):
    model = finetune(encoder, data, settings, tmp_path / "run", compute, ALONE)
    assert model.config.num_labels == 4  # ids go up to 3, and what comes after the last says "no object"
    detections = detect(model, encoder, data, sizes_of(settings, encoder.patch_size), 1, ALONE)
    found = average_precision(data, detections)
    np.testing.assert_allclose(list(found.stats.values()), official(data, detections), atol=1e-6)


def test_every_setting_changes_the_fingerprint(encoder, data, settings):
    before = {fingerprint(encoder, settings, data.digest)}
    for key, value in settings.items():
        other = [*value, 8] if isinstance(value, list) else value + 1
        before.add(fingerprint(encoder, {**settings, key: other}, data.digest))
    darker = Encoder(encoder.net, (0.1, 0.1, 0.1), encoder.std, encoder.name)
    before |= {fingerprint(encoder, settings, "other photos"), fingerprint(darker, settings, data.digest)}
    assert len(before) == len(settings) + 3


@pytest.mark.parametrize(
    ("key", "value"),
    [("lr", 2e-3), ("min_lr", 1e-3), ("weight_decay", 0.5), ("clip_norm", 10), ("batch_size", 3), ("seed", 1)],
)
def test_every_parameter_of_the_finetuning_acts(encoder, data, settings, compute, tmp_path, key, value):
    before, after = (
        weights(finetune(encoder, data, {**settings, **changed}, tmp_path / name, compute, ALONE))
        for name, changed in (("whole", {}), ("run", {key: value}))
    )
    head = "class_labels_classifier.layers.0.weight"
    assert not torch.equal(before[head], after[head])


def test_processes_share_each_batch_and_each_epoch_has_every_photo_once():
    orders = [Order(9, 4, 2, 0, World(rank, 2, torch.device("cpu"))) for rank in range(2)]
    whole = Order(9, 4, 2, 0, ALONE)
    assert len(whole) == 4
    for step in range(4):
        assert sorted(orders[0].at(step) + orders[1].at(step)) == sorted(whole.at(step)) and len(whole.at(step)) == 4
    assert len(set(whole.at(0) + whole.at(1))) == 8 and whole.at(0) != [(0, i) for _, i in whole.at(2)]


def test_too_few_photos_are_one_sentence(encoder, data, settings, compute, tmp_path):
    with pytest.raises(EvaluationError, match="9 training photos, batches of 10"):
        finetune(encoder, data, {**settings, "batch_size": 10}, tmp_path / "run", compute, ALONE)


def test_a_loss_that_is_not_finite_stops_the_run(encoder, data, settings, compute, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "set_loss", lambda logits, *_: {k: logits.sum() * torch.nan for k in ("class", "l1", "giou")})
    with pytest.raises(FloatingPointError, match=r"not finite at step 1 .*lower evaluate\.yolos\.lr"):
        finetune(encoder, data, settings, tmp_path / "run", compute, ALONE)
    shutil.rmtree(tmp_path / "run")


def test_predictions_that_are_no_numbers_stop_the_run_at_that_step_with_the_same_sentence(
    encoder, data, settings, compute, tmp_path
):
    rarely = compute.model_copy(update={"log_steps": 100, "checkpoint_steps": 100})
    wild = {**settings, "lr": 1e25, "min_lr": 1e25, "clip_norm": 0.0, "epochs": 20}
    with pytest.raises(FloatingPointError, match=r"not finite at step [2-9] .*lower evaluate\.yolos\.lr"):
        finetune(encoder, data, wild, tmp_path / "run", rarely, ALONE)


def test_no_photo_shares_its_random_numbers_with_the_order_of_an_epoch(
    encoder, data, settings, compute, tmp_path, monkeypatch
):
    streams = []
    monkeypatch.setattr(
        train.np.random, "default_rng", lambda key, make=np.random.default_rng: (streams.append(tuple(key)), make(key))[1]
    )
    finetune(encoder, data, {**settings, "epochs": 1}, tmp_path / "run", compute, ALONE)
    states = {key: tuple(np.random.SeedSequence(key).generate_state(4)) for key in streams}
    assert len(states) == 1 + 8 and len(set(states.values())) == len(states)
