"""ONNX: the file gives the encoder's features at any batch, and nothing is written that does not."""

import pytest
import timm
import torch
from timm.models import save_for_hf

from cribo.model import onnx
from cribo.model.architectures import BACKBONES
from cribo.model.encoder import Encoder, load_encoder
from cribo.model.export import write_encoder
from cribo.model.networks.backbone import MEAN, STD, seeded_backbone

DEMO = BACKBONES["vit_demo_8"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    write_encoder(seeded_backbone(DEMO, 32, 0), DEMO, 32, folder)
    return load_encoder(folder)


@pytest.fixture
def installed():
    for name in onnx.NEEDED:
        pytest.importorskip(name)


@pytest.mark.parametrize("size", [(32, 32), (40, 56)])  # of the training, and with positions between the trained ones
def test_the_file_gives_the_features_of_the_encoder_for_any_batch(encoder, size, installed, tmp_path):
    assert onnx.write_onnx(encoder, size, tmp_path / "e.onnx") < onnx.TOLERANCE
    for images in (1, 5):
        assert onnx.difference(encoder, tmp_path / "e.onnx", torch.rand(images, 3, *size)) < onnx.TOLERANCE
    assert [file.name for file in tmp_path.iterdir()] == ["e.onnx"]


def test_a_file_that_gives_other_features_is_not_written(encoder, installed, tmp_path, monkeypatch):
    right = onnx.Graph.forward
    monkeypatch.setattr(onnx.Graph, "forward", lambda self, images: right(self, images * 255))
    with pytest.raises(ValueError, match="is not written: its features differ"):
        onnx.write_onnx(encoder, (32, 32), tmp_path / "e.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_gives_no_numbers_is_not_written(encoder, installed, tmp_path, monkeypatch):
    right = onnx.Graph.forward

    def spoilt(self, images):
        whole, patches = right(self, images)
        return whole, patches * torch.nan

    monkeypatch.setattr(onnx.Graph, "forward", spoilt)
    with pytest.raises(ValueError, match=r"is not written: its features differ from .* by nan"):
        onnx.write_onnx(encoder, (32, 32), tmp_path / "e.onnx")


def test_without_the_packages_and_at_impossible_sizes_it_says_so_in_a_sentence(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ValueError, match="needs the package onnxscript, which is not installed: pip install onnxscript"):
        onnx.write_onnx(encoder, (32, 32), tmp_path / "e.onnx")
    monkeypatch.setattr(onnx, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match="36 × 32 px are not multiples"):
        onnx.write_onnx(encoder, (36, 32), tmp_path / "e.onnx")


def test_a_folder_of_timm_is_written_at_another_size_than_its_own(installed, tmp_path, capsys):
    network = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=32, num_classes=3)
    save_for_hf(network, tmp_path / "timm", safe_serialization=True, model_args={"depth": 1, "img_size": 32})
    onnx.main([str(tmp_path / "timm"), str(tmp_path / "e.onnx"), "--size", "48", "32"])
    assert "48 × 32 px" in capsys.readouterr().out and (tmp_path / "e.onnx").exists()


def test_without_a_size_it_is_that_of_the_positions_and_a_network_without_asks_for_one(encoder):
    assert tuple(onnx.trained_at(encoder)) == (32, 32)
    encoder = Encoder(timm.create_model("resnet10t", num_classes=0), MEAN, STD, "convolutions")
    with pytest.raises(ValueError, match="convolutions works on images of any size: say of which with --size H W"):
        onnx.trained_at(encoder)
