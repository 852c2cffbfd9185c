"""`python -m cribo.inspect`: what a file is, what differs, means of checkpoints, and no pickle ever run."""

import errno
import json
import os
import time
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from cribo import inspect
from cribo.command import sentence
from cribo.model.architectures import BACKBONES
from cribo.model.checkpoint_file import settings_hash
from cribo.model.encoder import EncoderError
from cribo.model.export import teacher_backbone
from cribo.model.networks.backbone import seeded_backbone, tokens
from tests.model.foreign.published import VIT, under

DEMO = BACKBONES["vit_demo_8"]

TOLD = {
    "settings": {
        "backbone": asdict(DEMO),
        "losses": ["global"],
        "views": {"size": 32},
        "optimisation": {"batch_size": 8},
    },
    "dataset": "scenes",
    "digest": "d" * 64,
    "steps": 920,
}


def checkpoint(path, seed):
    weights = under("teacher.backbone.", seeded_backbone(DEMO, 32, seed).state_dict())
    save_file(weights, path, metadata={"cribo": json.dumps(TOLD)})
    return path


def test_a_checkpoint_says_what_was_trained_and_what_it_holds(tmp_path, capsys):
    inspect.main([str(checkpoint(tmp_path / "c.safetensors", 1))])
    said = capsys.readouterr().out
    assert "a checkpoint of cribo" in said and "vit_demo_8 with losses global on scenes, 920 steps of 8 images" in said
    assert f"digest {'d' * 64}" in said and f"sha256 {settings_hash(TOLD['settings'])}" in said
    count = sum(p.numel() for p in seeded_backbone(DEMO, 32, 1).parameters())
    assert f"teacher.backbone: 42 tensors, {count:,} values, float32" in said


def test_of_a_folder_its_weights_are_inspected(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"is a folder without model\.safetensors: name a file in it"):
        inspect.main([str(tmp_path)])
    path = checkpoint(tmp_path / "model.safetensors", 1)
    inspect.main([str(tmp_path)])
    assert str(path) in capsys.readouterr().out


def test_a_resumable_state_and_a_foreign_checkpoint_are_told_apart(tmp_path, capsys):
    import argparse

    torch.save({"student": {"w": torch.zeros(2)}, "optimiser": {"state": {}, "lr": 0.1}, "step": 7}, tmp_path / "state.pt")
    torch.save({"teacher": {"w": torch.zeros(2)}, "args": argparse.Namespace(lr=0.5)}, tmp_path / "dino.pth")
    inspect.main([str(tmp_path / "state.pt"), "--keys"])
    said = capsys.readouterr().out
    assert "resumable state of a training" in said and "steps       7" in said and "student.w  [2]  float32" in said
    inspect.main([str(tmp_path / "dino.pth")])
    assert "a checkpoint with its arguments" in (said := capsys.readouterr().out) and "args.lr: 0.5" in said


def test_values_that_are_not_finite_are_named(tmp_path):
    save_file({"a": torch.tensor([1.0, float("nan")]), "b": torch.ones(1)}, tmp_path / "x.safetensors")
    assert "not finite  a" in inspect.summary(tmp_path / "x.safetensors")


def test_what_differs_between_two_files(tmp_path):
    a = {"p.w": torch.tensor([3.0, 4.0]), "p.same": torch.ones(2), "gone": torch.ones(1), "shape": torch.ones(2)}
    b = {"p.w": torch.tensor([3.0, 4.5]), "p.same": torch.ones(2), "new": torch.ones(1), "shape": torch.ones(3)}
    for name, tree in (("a", a), ("b", b)):
        save_file(tree, tmp_path / name)
    said = inspect.comparison(tmp_path / "a", tmp_path / "b")
    assert said == [
        f"only in {tmp_path / 'a'}: gone",
        f"only in {tmp_path / 'b'}: new",
        "shape: [2] and [3]",
        "p: most 0.5 (p.w), ‖a − b‖ / ‖a‖ = 0.0962",  # 0.5 / √27
    ]
    assert inspect.comparison(tmp_path / "a", tmp_path / "a") == ["the same tensors and values in both"]


def test_types_and_values_that_differ_are_said(tmp_path):
    for name, kind, lr, more in (("a", torch.float32, 0.1, {}), ("b", torch.bfloat16, 0.2, {"epoch": 3})):
        torch.save({"w": torch.ones(2, dtype=kind), "lr": lr, "same": [1, float("nan")], **more}, tmp_path / name)
    assert inspect.comparison(tmp_path / "a", tmp_path / "b") == [
        "w: float32 and bfloat16",
        f"only in {tmp_path / 'b'}: epoch",
        "lr: 0.1 and 0.2",
    ]
    assert inspect.comparison(tmp_path / "a", tmp_path / "a") == ["the same tensors and values in both"]
    for name in ("c", "d"):
        torch.save({"long": [f"{name}{n}" * 60 for n in range(30)]}, tmp_path / name)
    said = inspect.comparison(tmp_path / "c", tmp_path / "d")
    assert len(said) == 21 and said[-1] == "and 10 more values" and len(said[0]) < 140


def test_two_checkpoints_with_the_same_weights_differ_in_what_was_trained(tmp_path):
    checkpoint(tmp_path / "a", 1)
    longer = {**TOLD, "steps": 921, "settings": {**TOLD["settings"], "optimisation": {"batch_size": 16}}}
    save_file(load_file(tmp_path / "a"), tmp_path / "b", metadata={"cribo": json.dumps(longer)})
    assert inspect.comparison(tmp_path / "a", tmp_path / "b") == [
        "trained.settings.optimisation.batch_size: 8 and 16",
        "trained.steps: 920 and 921",
    ]


def test_a_long_list_is_split_at_once():
    start = time.perf_counter()
    assert len(inspect.split(list(range(160_000)))[1]) == 160_000
    assert time.perf_counter() - start < 10  # over a minute, where each value copied those before it


FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu]


@pytest.mark.parametrize("kind", FLOAT8)
def test_numbers_of_one_byte_are_counted_checked_and_compared(tmp_path, kind):
    for name, values in (("a", [1.0, 2.0]), ("b", [1.0, float("nan")]), ("c", [1.0, 4.0])):
        torch.save({"p.w": torch.tensor(values).to(kind)}, tmp_path / name)
    said = inspect.summary(tmp_path / "b")
    assert f"part        p: 1 tensors, 2 values, {inspect._type(torch.zeros(1).to(kind))}" in said
    assert "not finite  p.w" in said and "not finite  p.w" not in inspect.summary(tmp_path / "a")
    assert inspect.comparison(tmp_path / "a", tmp_path / "c") == ["p: most 2 (p.w), ‖a − b‖ / ‖a‖ = 0.894"]  # 2 / √5
    assert inspect.comparison(tmp_path / "b", tmp_path / "b") == ["the same tensors and values in both"]


def test_complex_numbers_are_checked_and_compared_by_both_parts(tmp_path):
    for name, value in (("a", 3 + 4j), ("b", 3 + 1j), ("c", complex(3, float("inf")))):
        torch.save({"p.w": torch.tensor([value])}, tmp_path / name)
    assert inspect.comparison(tmp_path / "a", tmp_path / "b") == ["p: most 3 (p.w), ‖a − b‖ / ‖a‖ = 0.6"]
    assert "not finite  p.w" in inspect.summary(tmp_path / "c")


def test_of_tensors_with_which_torch_cannot_compute_type_and_shape_are_said(tmp_path):
    held = {"four": torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "thin": torch.eye(3).to_sparse()}
    torch.save({**held, "gone": torch.zeros(2, device="meta")}, tmp_path / "a")
    said = inspect.summary(tmp_path / "a", keys=True)
    assert "not read    the values of four and 2 more" in said and "thin  [3, 3]  float32 sparse_coo" in said
    assert inspect.comparison(tmp_path / "a", tmp_path / "a")[0].startswith("four: values not compared, float4")


def endless():
    tree = {"a": 1}
    tree["self"] = tree
    return tree


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (endless(), "x.pt holds a list or dictionary inside itself, or far too deep in others: not read$"),
        (
            {"a": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)},
            "x.pt holds a, whose rows have several len",
        ),
    ],
)
def test_a_tree_that_no_weights_have_is_one_sentence(tmp_path, tree, says):
    torch.save(tree, tmp_path / "x.pt")
    for asked in ([tmp_path / "x.pt"], [tmp_path / "x.pt"] * 2):
        with pytest.raises(EncoderError, match=says):
            inspect.main(list(map(str, asked)))


@pytest.mark.parametrize("described", ["{", "[1]", "{}", '{"settings": 3}'])
def test_a_checkpoint_that_does_not_say_what_was_trained_is_one_sentence_with_its_name(tmp_path, described):
    path = tmp_path / "c.safetensors"
    save_file({"teacher.backbone.w": torch.ones(1)}, path, metadata={"cribo": described})
    for more in ([], ["--export", str(tmp_path / "out")]):
        with pytest.raises(
            ValueError, match=r"c\.safetensors (is damaged|does not say what was).*fetch or pretrain"
        ) as error:
            inspect.main([str(path), *more])
        assert len(str(error.value).splitlines()) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "out", "says"),
    [
        ("--export", "c.safetensors", r"^--export c\.safetensors: no such folder can be made \(File exists\): name another"),
        ("--export", "c.safetensors/x", r"^--export c\.safetensors/x: no such folder can be made \(Not a directory\)"),
        (
            "--average",
            "nowhere/m",
            r"^--average nowhere/m: there is no folder nowhere: make it first, or correct the path",
        ),
        ("--average", ".", r"^--average \. is a folder: name a file in it"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_named_as_the_user_named_it(tmp_path, monkeypatch, option, out, says):
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "c.safetensors", 1)
    with pytest.raises(ValueError, match=says):
        inspect.main(["c.safetensors", option, out])


def test_a_disk_that_is_full_is_said_with_the_folder_that_the_user_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "c.safetensors", 1)
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(ValueError, match=r"^--export out cannot be written \(No space left on device\): make room"):
        inspect.main(["c.safetensors", "--export", "out"])
    with pytest.raises(OSError, match="No space left") as error:
        inspect.main(["c.safetensors", "--average", "m"])
    assert sentence(error.value).startswith("the disk of . is full (No space left on device): make room there")


def test_what_is_no_number_in_one_file_alone_differs(tmp_path):
    nan, inf = float("nan"), float("inf")
    save_file({"p.v": torch.tensor([9.0]), "p.w": torch.tensor([nan, inf, 1.0])}, tmp_path / "a")
    save_file({"p.v": torch.tensor([1.0]), "p.w": torch.tensor([nan, inf, nan])}, tmp_path / "b")
    assert inspect.comparison(tmp_path / "a", tmp_path / "a") == ["the same tensors and values in both"]
    for pair in (("a", "b"), ("b", "a")):
        assert "p: most nan (p.w)" in inspect.comparison(*(tmp_path / name for name in pair))[0]


def test_the_mean_of_checkpoints_is_a_checkpoint_that_exports(tmp_path, capsys):
    paths = [checkpoint(tmp_path / f"{n}.safetensors", n) for n in range(3)]
    inspect.main([*map(str, paths), "--average", str(tmp_path / "mean.safetensors")])
    parts, mean = [load_file(path) for path in paths], load_file(tmp_path / "mean.safetensors")
    for key, value in mean.items():
        torch.testing.assert_close(value, torch.stack([part[key] for part in parts]).mean(0))
    inspect.main([str(tmp_path / "mean.safetensors"), "--export", str(tmp_path / "encoder")])
    import timm

    exported = timm.create_model(f"local-dir:{tmp_path / 'encoder'}", pretrained=True).eval()
    vit, _, _ = teacher_backbone(tmp_path / "mean.safetensors")
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(tokens(vit, images)[1], tokens(exported, images)[1])
    inspect.main([str(tmp_path / "mean.safetensors")])
    assert "average     of " in capsys.readouterr().out


def test_checkpoints_that_do_not_match_are_not_averaged(tmp_path):
    path = checkpoint(tmp_path / "a.safetensors", 0)
    tree = load_file(path)
    tree["teacher.backbone.more"] = tree.pop("teacher.backbone.norm.bias")
    save_file(tree, tmp_path / "b.safetensors", metadata={"cribo": json.dumps(TOLD)})
    with pytest.raises(ValueError, match="is not in both"):
        inspect.average([path, tmp_path / "b.safetensors"], tmp_path / "out")
    save_file(tree, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match="is not a checkpoint of cribo"):
        inspect.average([path, tmp_path / "c.safetensors"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_inspecting_a_malicious_pickle_does_not_run_it(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    torch.save({VIT: Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(EncoderError, match=r"asks for (os|posix)\.mkdir"):
        inspect.main([str(tmp_path / "evil.pth")])
    assert not (tmp_path / "run").exists()
