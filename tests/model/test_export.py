"""Exports: the very features of the trained backbone, for timm, or a sentence."""

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from cribo.model.architectures import BACKBONES
from cribo.model.checkpoint_file import read_checkpoint
from cribo.model.export import teacher_backbone, verify, write_encoder, write_network
from cribo.model.networks.backbone import MEAN, STD, build_backbone, patch_size, seeded_backbone, tokens

DEMO = BACKBONES["vit_demo_8"]


def test_timm_loads_an_export_and_gives_the_same_features(tmp_path):
    import timm

    vit = seeded_backbone(DEMO, 32, seed=3).eval()
    write_encoder(vit, DEMO, 32, tmp_path / "e")
    again = timm.create_model(f"local-dir:{tmp_path / 'e'}", pretrained=True).eval()
    images = torch.randn(2, 3, 40, 64)
    with torch.inference_mode():
        for a, b in zip(tokens(vit, images), tokens(again, images), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("architecture", ["vit_demo_8", "resnet18", "test_convnext", "pvt_v2_b0"])
def test_timm_fits_an_export_to_grey_images_and_a_classifier_as_it_does_its_own(architecture, tmp_path):
    import timm

    if architecture == "vit_demo_8":
        net = seeded_backbone(DEMO, 32, seed=3).eval()
        write_encoder(net, DEMO, 32, tmp_path / "e")
    else:
        net = timm.create_model(architecture, num_classes=0).eval()
        write_network(net, architecture, {}, MEAN, STD, 64, tmp_path / "e")
    grey = timm.create_model(f"local-dir:{tmp_path / 'e'}", pretrained=True, in_chans=1, num_classes=5).eval()
    first = grey.pretrained_cfg["first_conv"]
    assert torch.equal(grey.get_submodule(first).weight, net.get_submodule(first).weight.sum(1, keepdim=True))
    assert grey.get_submodule(grey.pretrained_cfg["classifier"]).out_features == 5


def test_an_export_that_differs_is_refused(tmp_path):
    vit = seeded_backbone(DEMO, 32, seed=3).eval()
    write_encoder(vit, DEMO, 32, tmp_path / "e")
    weights = load_file(tmp_path / "e" / "model.safetensors")
    weights["norm.bias"] += 1e-3
    save_file(weights, tmp_path / "e" / "model.safetensors")
    with pytest.raises(ValueError, match="differs from the trained one by"):
        verify(vit, tmp_path / "e", 32)


@pytest.mark.parametrize("bad", ["export", "network", "both"])
def test_features_that_are_not_a_number_are_refused(bad, tmp_path):
    vit = seeded_backbone(DEMO, 32, seed=3).eval()
    write_encoder(vit, DEMO, 32, tmp_path / "e")
    with torch.no_grad():
        for net in (vit, seeded_backbone(DEMO, 32, seed=3)):
            if bad != ("export" if net is vit else "network"):
                net.norm.bias[0] = float("nan")
            if net is not vit:
                save_file(net.state_dict(), tmp_path / "e" / "model.safetensors")
    with pytest.raises(ValueError, match="differs from the trained one by nan"):
        verify(vit, tmp_path / "e", 32)


def test_a_refused_export_is_not_left_behind_and_other_files_are(tmp_path):
    vit = seeded_backbone(DEMO, 32, seed=3).eval()
    with torch.no_grad():
        vit.norm.bias[0] = float("nan")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes").touch()
    for folder in (tmp_path / "old", tmp_path / "new"):
        with pytest.raises(ValueError, match="differs from the trained one by nan"):
            write_encoder(vit, DEMO, 32, folder)
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["old", "old/notes"]


def test_the_teacher_and_not_the_student_is_exported(tmp_path):
    teacher, student = seeded_backbone(DEMO, 32, seed=1), seeded_backbone(DEMO, 32, seed=2)
    tensors = {
        f"{role}.backbone.{k}": v
        for role, net in (("teacher", teacher), ("student", student))
        for k, v in net.state_dict().items()
    }
    described = {"settings": {"backbone": asdict(DEMO), "views": {"size": 32}}}
    save_file(tensors, tmp_path / "c.safetensors", metadata={"cribo": json.dumps(described)})
    vit, spec, size = teacher_backbone(tmp_path / "c.safetensors")
    assert (spec, size) == (DEMO, 32)
    assert all(torch.equal(v, teacher.state_dict()[k]) for k, v in vit.state_dict().items())


def test_a_missing_tensor_is_an_error_that_names_it(tmp_path):
    tensors = {f"teacher.backbone.{k}": v for k, v in seeded_backbone(DEMO, 32, 1).state_dict().items() if k != "norm.bias"}
    described = {"settings": {"backbone": asdict(DEMO), "views": {"size": 32}}}
    save_file(tensors, tmp_path / "c.safetensors", metadata={"cribo": json.dumps(described)})
    with pytest.raises(ValueError, match=r"c\.safetensors does not hold the vit_demo_8.*norm\.bias"):
        teacher_backbone(tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"settings": {"backbone": asdict(DEMO)}},
        {"settings": {"backbone": {"name": "vit_demo_8"}, "views": {"size": 32}}},
        {"settings": None},
    ],
)
def test_a_checkpoint_that_does_not_say_what_was_trained_is_one_sentence(described, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "c.safetensors", metadata={"cribo": json.dumps(described)})
    with pytest.raises(ValueError, match=r"c\.safetensors does not say what was trained \(.*\): fetch or pretrain it"):
        teacher_backbone(tmp_path / "c.safetensors")


def test_a_truncated_checkpoint_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "c.safetensors"
    save_file({"x": torch.zeros(64)}, path, metadata={"cribo": "{}"})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"c\.safetensors is damaged .*: delete it and pretrain again"):
        read_checkpoint(path)


def test_a_file_of_someone_else_is_no_checkpoint(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match="not a checkpoint of cribo"):
        read_checkpoint(tmp_path / "c.safetensors")


@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_backbone_has_the_patch_that_its_name_says(name):
    patch = BACKBONES[name].patch_size
    with torch.device("meta"):
        vit = build_backbone(BACKBONES[name], 14 * patch)
    assert patch_size(vit) == patch == int(name.rsplit("_", 1)[1])
    assert vit.patch_embed.num_patches == 14**2 and vit.blocks[0].norm1.eps == 1e-6


@pytest.mark.parametrize(("name", "width", "millions"), [("vit_small_16", 384, 21.67), ("vit_base_16", 768, 85.80)])
def test_backbones_have_the_papers_sizes(name, width, millions):
    with torch.device("meta"):
        vit = build_backbone(BACKBONES[name], 224)
    assert vit.num_features == width
    assert sum(p.numel() for p in vit.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_drop_path_grows_linearly_to_the_last_block():
    vit = build_backbone(DEMO, 32, drop_path=0.1)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in vit.blocks]
    assert rates == pytest.approx(torch.linspace(0, 0.1, len(vit.blocks)).tolist())


def test_a_seed_decides_the_weights_and_leaves_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b = (seeded_backbone(DEMO, 32, 7).state_dict() for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a[k], b[k]) for k in a)
