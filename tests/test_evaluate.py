"""`python -m cribo.evaluate`: weights and a folder in, a number out, no workflow."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from functools import partial

import pytest
import timm
import torch

from cribo import evaluate
from cribo.data.preparation.prepare import prepare
from cribo.evaluation import protocols
from cribo.evaluation.protocols import PROTOCOLS
from cribo.model.architectures import BACKBONES
from cribo.model.encoder import EncoderError
from cribo.model.export import write_encoder
from cribo.model.networks.backbone import seeded_backbone
from cribo.model.weights import encoder_of
from tests.evaluation.detection.conftest import write_coco
from tests.evaluation.test_knn import write_photos
from tests.processes import Forks, python_m, run_m

DEMO = BACKBONES["vit_demo_8"]

SCENES = {"kind": "scenes", "seed": 0, "size": 32, "train": 8, "val": 3, "objects": [2, 3]}
MASKS = ["--protocol", "dense_nn", "--dataset", "a=.", "--set", "data.kind=folder", "data.train=."]
SMALL = ["--device", "cpu", "--workers", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("work")
    prepare("scenes", SCENES, root / "data", workers=1)
    write_encoder(seeded_backbone(DEMO, 32, 0).eval(), DEMO, 32, root / "encoder")
    return root


def run(root, protocol, dataset, *more):
    out = root / "out.json"
    out.unlink(missing_ok=True)
    encoder = str(root / "encoder")
    evaluate.main(["--weights", encoder, "--protocol", protocol, "--dataset", dataset, "--out", str(out), *SMALL, *more])
    return json.loads(out.read_text())


def test_a_folder_in_voc_layout_gives_the_result_of_the_prepared_one(root, capsys):
    voc = run(root, "dense_nn", f"mine={root}/data/scenes/VOCdevkit", "--set", "subsample=[1, 2]", "runs=2", "k=7")
    assert voc["protocol"]["k"] == 7 and set(voc["patch"]) == {"1/1", "1/2"} and voc["dataset"] == "mine"
    assert "encoder on mine: " in capsys.readouterr().err
    prepared = run(root, "dense_nn", f"scenes={root}/data/scenes", "--set", "subsample=[1, 2]", "runs=2", "k=7")
    # the layout has VOC's 21 classes and the prepared set its own 13; the classes that occur are the same
    assert voc["patch"] == prepared["patch"] and voc["n"]["keys"] == prepared["n"]["keys"]


def test_a_file_gives_the_result_of_the_folder_with_the_same_weights_and_is_normalised_as_said(root):
    torch.save(seeded_backbone(DEMO, 32, 0).state_dict(), root / "plain.pth")
    asked = [root, "dense_nn", f"scenes={root}/data/scenes", "--set", "subsample=[1]", "runs=1", "k=7"]
    said = ["--weights", f"{root}/plain.pth", "--set", "weights.format=timm", "weights.backbone=vit_demo_8"]
    folder, file = run(*asked), run(*asked, *said, "weights.image_size=32")
    other = run(*asked, *said, "weights.image_size=32", "weights.mean=[0, 0, 0]")
    assert file["patch"] == folder["patch"] != other["patch"] and file["model"] == "plain.pth"


@pytest.mark.parametrize(
    ("weights", "about", "says"),
    [
        (sys.executable, {}, "is a file: say how .* as --set weights.format=teacher weights.backbone="),
        (sys.executable, {"backbone": "vit_small_16"}, "is a file: say how .*formats: timm, teacher"),
        ("a.pth", {"fromat": "timm"}, "^--set: weights.fromat: is not a parameter .*did you mean format"),
        ("a.pth", {"row": "mine"}, "^--set: weights.row: is not a parameter"),
        ("a.pth", {"format": "tim", "backbone": "x"}, "^--set: weights.format: 'tim' is not allowed .*did you mean timm"),
        ("a.pth", {"format": "timm"}, "^--set: weights: needs backbone, as weights are a file$"),
        ("a.pth", {"format": "timm", "backbone": "x", "mean": [1, 2]}, "^--set: weights.mean"),
        ("dino_vits16_in1k", {"format": "timm", "backbone": "x"}, "weights.backbone: says nothing where weights are in the"),
        ("random:vit_demo_8", {"stride": 8}, "^--set weights.stride says nothing where weights are random:vit_demo_8"),
    ],
)
def test_what_is_said_of_weights_is_checked_as_a_line_of_params_yaml_is(weights, about, says):
    with pytest.raises(ValueError, match=says):
        evaluate.described(weights, about)


def test_a_plain_folder_of_photos_and_masks_gives_the_result_of_the_prepared_one(root):
    photos, few = root / "data/scenes/VOCdevkit/VOC2012", ["--set", "subsample=[1]", "runs=1", "k=7"]
    classes = json.loads((root / "data/scenes/MANIFEST.json").read_text())["classes"]
    for split in ("train", "val"):
        for name in (photos / f"ImageSets/Segmentation/{split}.txt").read_text().split():
            for source, copy in (
                (f"JPEGImages/{name}.jpg", f"{split}/{name}.jpg"),
                (f"SegmentationClass/{name}.png", f"labels/{split}/{name}.png"),
            ):
                (root / "own" / copy).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(photos / source, root / "own" / copy)
    said = ["data.kind=folder", "data.train=train", "data.val=val", "data.masks=labels", f"data.classes={classes}"]
    own, prepared = (
        run(root, "dense_nn", f"mine={root}/own", *few, *said),
        run(root, "dense_nn", f"s={root}/data/scenes", *few),
    )
    assert own["patch"] == prepared["patch"] and own["n"]["keys"] == prepared["n"]["keys"]


def test_of_two_processes_one_verifies_the_photos_and_both_judge(root, tmp_path):
    folders, out = write_photos(tmp_path / "folders"), tmp_path / "out.json"
    given = ["--weights", str(root / "encoder"), "--protocol", "knn", "--dataset", f"tints={folders}", "--out", str(out)]
    processes = Forks(partial(logging_prepare, [*given, *SMALL, "--set", "short_side=40", "crop=32", "k=[1, 5]"]), 2)
    said = "\n".join(processes.communicate())
    assert processes.returncode == 0 and said.count("verifies tints") == 1, said
    alone = run(root, "knn", f"tints={folders}", "--set", "short_side=40", "crop=32", "k=[1, 5]")
    assert json.loads(out.read_text()) | {"cost": 0} == alone | {"cost": 0}


def logging_prepare(given):
    """`cribo.evaluate`, saying when photos are verified."""
    protocols.prepare = lambda name, *more: (print("verifies", name), prepare(name, *more))
    evaluate.main(given)


def test_class_folders_and_hummingbird(root):
    folders = write_photos(root / "folders")
    knn = run(root, "knn", f"tints={folders}", "--set", "short_side=40", "crop=32", "k=[1, 5]")
    assert set(knn["top1"]) == {"1", "5"} and knn["protocol"]["crop"] == 32
    hummingbird = run(root, "hummingbird", f"scenes={root}/data/scenes", "--set", "size=32", "passes=1")
    assert hummingbird["value"] == hummingbird["mIoU"] and hummingbird["protocol"]["size"] == 32


def test_the_defaults_are_the_papers():
    assert evaluate.settings(PROTOCOLS["dense_nn"], {})["k"] == 50
    assert evaluate.settings(PROTOCOLS["knn"], {}) == {
        "k": [10, 20, 100, 200], "temperature": 0.07, "short_side": 256, "crop": 224,
    }  # fmt: skip
    yolos = evaluate.settings(PROTOCOLS["yolos"], {})
    assert (yolos["batch_size"], yolos["lr"], yolos["epochs"]) == (32, 2.5e-5, 150)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--protocol", "dense_nn", "--dataset", "voc2012"], "write NAME=PATH"),
        (["--protocol", "dense_nn", "--dataset", "a=b", "--set", "k"], "write KEY=VALUE"),
        (["--protocol", "dense_nn", "--dataset", "a=b", "--set", "kk=3"], "--set: kk: is not a parameter .*did you mean k"),
        (["--protocol", "dense_nn", "--dataset", "a=b", "--set", "k=0"], "--set: k: .*greater than or equal to 1"),
        (["--protocol", "dense_nn", "--dataset", "a=b", "--set", "subsample=[1, 1]"], "--set: subsample: names 1 twice"),
        (["--protocol", "dense_nn", "--dataset", "a=nowhere"], "--dataset a=nowhere: nowhere is not a folder: correct"),
        (["--protocol", "dense_nn", "--dataset", "a=."], "holds no JPEGImages folder.*correct the path of --dataset"),
        (
            ["--protocol", "dense_nn", "--dataset", "a=."],
            "data.kind=folder data.train=.*`dvc repro prepare@NAME` made: --dataset",
        ),
        ([*MASKS, "data.masks=m"], "^--set data.masks: needs --set data.classes too"),
        (["--protocol", "dense_nn", "--dataset", "voc/2012=b"], "'voc/2012' is not a name: letters"),
        (["--protocol", "knn", "--dataset", "a=b", "--workers", "-1"], "^--workers should be .*0, not -1"),
        (["--protocol", "knn", "--dataset", "a=b", "--feature-memory-gb", "-3"], "^--feature-memory-gb should be .*not -3"),
        (["--protocol", "dense_nn", "--dataset", "a=b", "--set", "subsample=[1 8"], "'.1 8' is not a YAML value"),
        (["--protocol", "knn", "--dataset", "a=.", "--set", "data.kind=foldr", "data.train=x"], "kind=foldr .*mean folder"),
        (["--protocol", "knn", "--dataset", "a=.", "--set", "data.kind=folder"], "--set data.train is missing"),
        (
            [
                "--protocol",
                "knn",
                "--dataset",
                "a=.",
                "--set",
                "data.kind=folder",
                "data.train=x",
                "data.exclude_broken=maybe",
            ],
            "--set data.exclude_broken should be true or false, not 'maybe'",
        ),
        (["--protocol", "knn", "--dataset", "a=b", "--out", "/no/where/x.json"], "there is no folder /no/where: make it"),
        (["--protocol", "knn", "--dataset", "a=b", "--out", "/"], "--out / is a folder"),
        (["--protocol", "knn", "--dataset", "a=nowhere"], "nowhere is not a folder"),
        (
            ["--protocol", "knn", "--dataset", "a=.", "--set", "data.kind=folder", "data.train=x", "data.strict=true"],
            "data.strict is not a setting of folder",
        ),
        (["--protocol", "yolos", "--dataset", "a=nowhere"], "nowhere is not a folder"),
        ([*MASKS, "data.masks=nowhere", "data.classes=[x, y]"], "nowhere is missing: --set data.masks must name"),
        ([*MASKS, "data.masks=m", "data.classes=5"], "--set data.classes should be a list as .a, b., not 5"),
        ([*MASKS, "data.masks=m", "data.classes=[x, x]"], "--set data.classes names x twice"),
        (["--protocol", "dense_nn", "--dataset", "a=b", "--set", "k=5", "k=6"], "^--set k is given twice: keep one$"),
        (
            ["--protocol", "dense_nn", "--dataset", "a=b", "--set", "datasets=[a]"],
            "datasets: is not a parameter .allowed: k, ",
        ),
        (["--protocol", "knn", "--dataset", "a=b", "--set", "models=[a]"], "models: is not a parameter .allowed: crop, k, "),
        (["--protocol", "knn", "--dataset", "a=b", "--set", "data.path=c"], "data.path is not a setting here: leave it out"),
        (["--protocol", "knn", "--dataset", "a=b", "--set", "data.download=true"], "data.download is not a setting here"),
    ],
)
def test_mistakes_are_one_sentence(root, more, says):
    with pytest.raises(ValueError, match=says) as error:
        evaluate.main(["--weights", str(root / "encoder"), *SMALL, *more])
    assert len(str(error.value).splitlines()) == 1


def test_settings_of_data_are_refused_where_the_folder_is_prepared_already(root):
    with pytest.raises(ValueError, match=r"^--set data\.nonsense changes nothing in .*/data/scenes, which is prepared"):
        run(root, "dense_nn", f"scenes={root}/data/scenes", "--set", "data.nonsense=1")


def test_a_prepared_set_is_called_as_the_command_calls_it(root, capsys, monkeypatch):
    monkeypatch.chdir(root / "data/scenes")
    tree = run(root, "dense_nn", "mine=.", "--set", "subsample=[1]", "runs=1")
    assert tree["dataset"] == "mine" and "encoder on mine: " in capsys.readouterr().err


def test_an_out_that_cannot_be_written_is_said_before_anything_is_computed(root, monkeypatch):
    def refused(**_place):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(evaluate.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(evaluate, "join", lambda *_: pytest.fail("computes"))
    with pytest.raises(ValueError, match=r"out.json: nothing can be written in .* \(Read-only file system\)"):
        run(root, "knn", "a=b")


def test_a_result_that_its_file_does_not_take_goes_to_stdout(tmp_path, monkeypatch, capsys):
    def full(*_where):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluate, "write_json", full)
    with pytest.raises(ValueError, match=r"x cannot be written \(No space left on device\): the result went to stdout"):
        evaluate.deliver({"value": 1.0}, tmp_path / "x")
    assert json.loads(capsys.readouterr().out) == {"value": 1.0}


def test_a_broken_photo_is_told_with_the_option_that_goes_on_without_it(root):
    folders = write_photos(root / "broken")
    next(folders.glob("train/*/*")).write_bytes(b"no photo")
    with pytest.raises(ValueError, match=r"--set data\.exclude_broken=true goes on without them"):
        run(root, "knn", f"tints={folders}")


def test_a_stopped_yolos_says_so_and_the_same_command_goes_on_to_a_result(root, tmp_path):
    photos = write_coco(tmp_path / "coco")
    sizes = ["grid=[32,32]", "short=[32,40,8]", "longest=64", "crop_from=[32]", "crop=[24,32]", "test=32", "tokens=4"]
    command = ["--weights", str(root / "encoder"), "--protocol", "yolos", "--dataset", f"squares={photos}", *SMALL]
    command += ["--set", "epochs=8", "batch_size=4", *sizes, "--out", "out.json"]
    process = python_m("cribo.evaluate", *command, cwd=tmp_path)
    while not list(tmp_path.glob(".resume/*/metrics.jsonl")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].splitlines()
    assert process.returncode == 1 and "stopped by Ctrl-C after step" in said[-1], said
    done = run_m("cribo.evaluate", *command, cwd=tmp_path)
    assert done.returncode == 0 and "resuming after step" in done.stderr, done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["n"]["val_images"] == 5 and not list(tmp_path.glob(".resume/*"))


@pytest.mark.parametrize(
    ("protocol", "says"),
    [("dense_nn", "; nothing of it is kept: .* starts from scratch$"), ("yolos", "goes on from the last saved")],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_stops_it_is_told_whether_anything_is_kept(protocol, says, number, monkeypatch):
    monkeypatch.setattr(evaluate, "judge", lambda *_: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit, match=says):
        evaluate.main(["--weights", "random:vit_demo_8", "--protocol", protocol, "--dataset", "a=b"])


# ------------------------------------------------------------------------------------------------------------- weights
def test_random_weights_are_the_same_each_time():
    a, b = (encoder_of("random:vit_demo_8") for _ in range(2))
    assert a.name == "random_vit_demo_8" and torch.equal(a.net.pos_embed, b.net.pos_embed)


def test_a_name_of_timm_loads_with_its_own_statistics(monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **more: create(name, pretrained=False, **more))
    encoder = encoder_of("vit_tiny_patch16_224.augreg_in21k")
    assert encoder.mean == encoder.std == (0.5, 0.5, 0.5)
    assert encoder(torch.zeros(1, 3, 32, 48))[1].shape == (1, 2, 3, 192)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ("random", "write random:BACKBONE, as random:vit_small_16"),
        ("random:vit_demo", "vit_demo is not a backbone"),
        ("test_vit.r160_in1k", "timm cannot get test_vit.r160_in1k"),
        ("vit_small_patch16_224.dyno", "or a model of timm; did you mean vit_small_patch16_224.dino"),
        ("nonsense", "a folder, a name in the catalogue or a model of timm"),
        ("dino_vits16_in1k", "is missing: put the file from https"),
        (sys.executable, "is a file: give the folder"),
    ],
)
def test_weights_that_cannot_be_had_are_one_sentence(weights, says, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read when it is imported
    with pytest.raises(EncoderError, match=says):
        encoder_of(weights)


# --------------------------------------------------------------------------------------------------------- real photos
@pytest.mark.real
def test_a_trained_encoder_beats_a_random_one_on_real_photos(real_data, tmp_path):
    """Image-level k-NN on 20 photos a class and dense retrieval on 20 photos of native resolution."""
    from tests.foreign import real_encoder
    from tests.real_voc import few_photos

    trained = str(real_encoder(tmp_path / "trained"))
    for split, count in (("train", 12), ("val", 4)):
        for folder in sorted((real_data / "imagenette_mini" / split).iterdir()):
            (tmp_path / "folders" / split / folder.name).mkdir(parents=True)
            for photo in sorted(folder.iterdir())[:count]:
                shutil.copy(photo, tmp_path / "folders" / split / folder.name)
    few_photos(real_data, tmp_path, train=12, val=8)
    found = {}
    for weights in (trained, "random:vit_small_16"):
        for protocol, dataset, settings in (
            ("knn", f"imagenette={tmp_path / 'folders'}", ["short_side=128", "crop=112", "k=[5]"]),
            ("dense_nn", f"voc2012={tmp_path}", ["subsample=[1]", "runs=1"]),
        ):
            out = tmp_path / "out.json"
            asked = ["--weights", weights, "--protocol", protocol, "--dataset", dataset, "--set", *settings]
            evaluate.main([*asked, "--out", str(out), *SMALL])
            found[weights == trained, protocol] = json.loads(out.read_text())["value"]
    assert found[True, "knn"] > 2 * found[False, "knn"]  # as measured 45.0 and 17.5
    assert found[True, "dense_nn"] > 1.5 * found[False, "dense_nn"]  # 51.6 and 27.1
