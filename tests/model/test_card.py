"""A release holds the very features of the encoder, loads by both hubs' ways, and its card says what is known."""

import json
from dataclasses import asdict

import pytest
import timm
import torch
from safetensors.torch import save_file

from cribo.data.prepared.readers import PreparedSet
from cribo.model.architectures import BACKBONES
from cribo.model.card import built, seen, write_release
from cribo.model.checkpoint_file import settings_hash
from cribo.model.export import write_encoder
from cribo.model.networks.backbone import seeded_backbone, tokens
from tests.model.foreign.published import under

DEMO = BACKBONES["vit_demo_8"]

TOLD = {
    "settings": {
        "backbone": asdict(DEMO),
        "losses": ["global", "cross_view"],
        "views": {"size": 32},
        "optimisation": {"batch_size": 8, "epochs": 3},
    },
    "dataset": "scenes",
    "digest": "d" * 64,
    "steps": 1920,
}
DATA = PreparedSet("scenes", ("a",), 255, "d" * 64, {"train": (None,) * 1500, "val": ()}, "CC0", "generated")


@pytest.fixture
def made(tmp_path):
    """(release folder, the trained network): a model with one result, beside another's."""
    vit = seeded_backbone(DEMO, 32, seed=3).eval()
    write_encoder(vit, DEMO, 32, tmp_path / "encoder")
    save_file(under("teacher.backbone.", vit.state_dict()), tmp_path / "c", metadata={"cribo": json.dumps(TOLD)})
    (tmp_path / "scores.csv").write_text(
        "model,protocol,dataset,value,what\n"
        "mine,linear_segmentation,scenes,6.5,mIoU with 1 layers at learning rate 0.001\n"
        "other,dense_nn,scenes,99.0,patch mIoU at 1/1\n"
        "mine,dense_nn,scenes,12.345,patch mIoU at 1/1\n"
    )
    write_release("mine", tmp_path / "encoder", tmp_path / "c", DATA, tmp_path / "scores.csv", tmp_path / "release")
    return tmp_path / "release", vit


def test_timm_and_torch_hub_load_the_very_features(made):
    folder, vit = made
    images = torch.randn(1, 3, 40, 32)
    for net in (
        timm.create_model(f"local-dir:{folder}", pretrained=True).eval(),
        torch.hub.load(str(folder), "encoder", source="local").eval(),
    ):
        with torch.no_grad():
            assert all(torch.equal(a, b) for a, b in zip(tokens(net, images), tokens(vit, images), strict=True))


def test_the_card_says_what_was_trained_on_what_and_with_what_result(made):
    text = (made[0] / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: timm\n")
    for words in (
        "losses: global, cross_view",
        "scenes, 1,500 of them; source: generated; licence: CC0",
        "`vit_demo_8`, which is timm's `vit_tiny_patch16_224` with `patch_size=8, embed_dim=64, depth=3, num_heads=2`, ",
        "1,920 steps of 8 photos, two views of 32 px each, 3 epochs",
        f"manifest of the photos: sha256 {'d' * 64}",
        f"settings: sha256 {settings_hash(TOLD['settings'])}",
        "\nCard written at commit ",
        "| dense_nn | scenes | 12.35 | patch mIoU at 1/1 |",
        "| linear_segmentation | scenes | 6.50 | mIoU with 1 layers at learning rate 0.001 |",
        "those trained: 0\n",
        "## Limits",
    ):
        assert words in text, words
    assert "99.0" not in text


def test_the_card_claims_no_licence_for_the_weights_and_no_commit_for_the_training(made):
    text = (made[0] / "README.md").read_text()
    assert "\nlicense:" not in text and "declares none: add `license:`" in text
    assert "commit" not in text.split("## What was trained")[1].split("##")[0]


def test_a_card_counts_the_views_that_the_training_saw_and_invents_no_change_of_a_backbone():
    local = {"size": 224, "local": {"count": 6, "size": 96}}
    assert seen({"losses": ["global"], "views": local}) == "two views of 224 px and 6 of 96 px each"
    assert seen({"losses": ["pixels"], "views": {"size": 224}}) == "one view of 224 px each"
    assert built(BACKBONES["vit_small_16"]) == "timm's `vit_small_patch16_224`"


def test_an_encoder_that_is_not_the_checkpoints_is_refused(made, tmp_path):
    write_encoder(seeded_backbone(DEMO, 32, seed=4).eval(), DEMO, 32, tmp_path / "foreign")
    with pytest.raises(ValueError, match="differs from the trained one by"):
        write_release("mine", tmp_path / "foreign", tmp_path / "c", DATA, tmp_path / "scores.csv", tmp_path / "another")
    assert not (tmp_path / "another").exists()
