"""The encoder contract: timm's features at any size, and a sentence for every key that does not fit."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from cribo.model.encoder import Encoder, EncoderError, load_encoder
from cribo.model.export import write_network

ARGS = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 32, "dynamic_img_size": True}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture
def exported(tmp_path):
    """(folder, timm's model): a small ViT in the layout of `local-dir:`."""
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **ARGS).eval()
    torch.nn.init.normal_(vit.pos_embed, std=0.5)
    folder = tmp_path / "small"
    folder.mkdir()
    save_file(vit.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 0,
        "num_features": 24,
        "global_pool": "token",
        "model_args": ARGS,
        "pretrained_cfg": {"input_size": [3, 32, 32], "mean": MEAN, "std": STD},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder, vit


@pytest.mark.parametrize("height, width", [(32, 32), (8, 8), (40, 96), (64, 24), (72, 56)])
def test_equals_timm_at_any_multiple_of_the_patch(exported, height, width):
    folder, vit = exported
    encoder = load_encoder(folder)
    assert (encoder.patch_size, encoder.width, encoder.name) == (8, 24, "small")
    assert encoder.mean == tuple(MEAN) and encoder.std == tuple(STD)
    images = torch.randint(0, 256, (3, 3, height, width), dtype=torch.uint8)
    whole, patches = encoder(images)
    with torch.no_grad():
        x = (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        expected = vit.forward_features(x)
    assert patches.shape == (3, height // 8, width // 8, 24)
    torch.testing.assert_close(whole, expected[:, 0])
    torch.testing.assert_close(patches.flatten(1, 2), expected[:, 1:])
    torch.testing.assert_close(encoder(images / 255)[1], patches)


def test_equals_what_timm_loads_itself(exported):
    folder, _ = exported
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    ours = load_encoder(folder)
    assert ours.net.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(a, theirs.state_dict()[key]) for key, a in ours.net.state_dict().items())


@pytest.mark.parametrize(
    ("architecture", "args"),
    [
        ("vit_tiny_patch16_224", {**ARGS, "global_pool": "avg"}),
        ("eva02_tiny_patch14_224", {"depth": 1, "embed_dim": 48, "num_heads": 3, "img_size": 28, "dynamic_img_size": True}),
    ],
)
def test_tokens_pass_a_final_norm_that_timm_keeps_for_the_pooled_feature(architecture, args, tmp_path):
    net = timm.create_model(architecture, num_classes=0, **args).eval()
    torch.nn.init.normal_(net.fc_norm.weight)
    torch.nn.init.normal_(net.fc_norm.bias)
    write_network(net, architecture, args, MEAN, STD, args["img_size"], tmp_path / "gap")
    encoder, p = load_encoder(tmp_path / "gap"), net.patch_embed.patch_size[0]
    assert encoder.features == "patch tokens of the last block after the final norm"
    images = torch.rand(2, 3, 2 * p, 3 * p)
    with torch.no_grad():
        expected = net.fc_norm(net.forward_features((images - encoder.shift) / encoder.scale))
    torch.testing.assert_close(encoder(images)[0], expected[:, 0])
    torch.testing.assert_close(encoder(images)[1].flatten(1, 2), expected[:, 1:])


def test_of_a_network_without_final_norm_no_norm_is_claimed():
    net = timm.create_model("vit_pe_spatial_tiny_patch16_512", num_classes=0, depth=1)
    assert Encoder(net, MEAN, STD, "pe").features == "patch tokens of the last block before the final norm"


@pytest.mark.parametrize(
    ("architecture", "features", "whole"),
    [
        (  # without patch_embed
            "naflexvit_base_patch16_gap",
            "patch tokens of the last block after the final norm",
            "mean of the patch tokens of the last block after the final norm",
        ),
        (  # with one
            "pvt_v2_b0",
            "map of the last convolutional stage, one vector every 32 px",
            "mean of the last convolutional stage's map",
        ),
    ],
)
def test_tokens_and_not_the_name_of_a_layer_make_a_vit(architecture, features, whole):
    small = {"depth": 1, "embed_dim": 48, "num_heads": 3} if "vit" in architecture else {}
    encoder = Encoder(timm.create_model(architecture, num_classes=0, **small), MEAN, STD, "x")
    assert (encoder.features, encoder.whole) == (features, whole)
    p = encoder.patch_size
    assert encoder(torch.rand(1, 3, 4 * p, 6 * p))[1].shape == (1, 4, 6, encoder.width)


def test_frozen(exported):
    encoder = load_encoder(exported[0]).train()
    assert not encoder.training and not encoder.net.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder(torch.zeros(1, 3, 8, 8))[1].requires_grad


def test_bf16_is_close_and_returns_fp32(exported):
    images = torch.randint(0, 256, (2, 3, 32, 40), dtype=torch.uint8)
    full, half = (load_encoder(exported[0], precision=precision)(images)[1] for precision in ("fp32", "bf16"))
    assert half.dtype == torch.float32 and not torch.equal(full, half)
    assert torch.nn.functional.cosine_similarity(full, half, dim=-1).min() > 0.99


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda w: w.pop("blocks.1.mlp.fc1.bias"), r"lacks blocks\.1\.mlp\.fc1\.bias$"),
        (lambda w: w.update(extra=torch.zeros(1)), "has the surplus extra$"),
        (lambda w: w.update({"norm.weight": torch.zeros(7)}), r"misshapes norm\.weight \(\[7\] for \[24\]\)$"),
        (lambda w: w["norm.weight"][3:].fill_(float("inf")), r"has values that are not finite in norm\.weight: "),
        (lambda w: w["pos_embed"][0, 0].fill_(float("nan")), r"has values that are not finite in pos_embed: "),
        (
            lambda w: w.update({"norm.weight": (w["norm.weight"] * 100).to(torch.int8)}),
            r"has whole numbers for fractions, or the reverse, in norm\.weight \(int8\)$",
        ),
        (lambda w: w.clear(), "lacks blocks.0.attn.proj.bias, .* and [0-9]+ more$"),
    ],
)
def test_keys_that_do_not_fit(exported, change, words):
    path = exported[0] / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    with pytest.raises(EncoderError, match=words):
        load_encoder(exported[0])


@pytest.mark.parametrize(
    "file, content, words",
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", "{", "is not JSON"),
        ("config.json", "[]", "does not give architecture"),
        ("config.json", '{"architecture": "no_net", "pretrained_cfg": {"mean": [0], "std": [1]}}', "cannot build no_net"),
        ("model.safetensors", None, "model.safetensors is missing"),
        ("model.safetensors", "junk", "is not a safetensors file"),
    ],
)
def test_broken_folders(exported, file, content, words):
    path = exported[0] / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(EncoderError, match=words):
        load_encoder(exported[0])


@pytest.mark.parametrize("shape", [(1, 3, 12, 16), (1, 1, 16, 16), (3, 16, 16), (0, 3, 16, 16)])
def test_images_it_cannot_take(exported, shape):
    with pytest.raises(EncoderError, match="multiples of 8"):
        load_encoder(exported[0])(torch.zeros(shape))
