"""The detector: an encoder's weights in YOLOS, its loss against transformers', its schedule and decay."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import nn
from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss

from cribo.evaluation.detection.loss import set_loss
from cribo.evaluation.detection.train import learning_rate
from cribo.evaluation.detection.yolos import build_yolos, parameter_groups, predict
from cribo.evaluation.harness.errors import EvaluationError
from cribo.model.encoder import Encoder


@pytest.fixture
def scaled():
    """An encoder with layer scale."""
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2, img_size=32, patch_size=8, init_values=0.5)
    for name, gamma in vit.named_parameters():
        if name.endswith("gamma"):
            nn.init.uniform_(gamma, -1, 1)
    return Encoder(vit.eval(), (0, 0, 0), (1, 1, 1), "scaled")


@torch.no_grad()
@pytest.mark.parametrize("name", ["encoder", "scaled"])
def test_blocks_and_positions_are_the_encoders(name, request):
    """timm's own blocks on the detector's embeddings give the detector's tokens, where nothing is added between blocks."""
    encoder = request.getfixturevalue(name)
    model = build_yolos(encoder, (32, 32), 6, 4, seed=0).eval()
    model.vit.encoder.interpolation.mid_position_embeddings.zero_()
    images = torch.randn(2, 3, 32, 32)
    embedded = model.vit.embeddings(images)
    x = encoder.net.patch_embed.proj(images).flatten(2).transpose(1, 2)
    expected = torch.cat([encoder.net.cls_token.expand(2, -1, -1), x], dim=1) + encoder.net.pos_embed
    torch.testing.assert_close(embedded[:, :17], expected, atol=1e-5, rtol=1e-5)
    tokens = encoder.net.norm(encoder.net.blocks(embedded))
    torch.testing.assert_close(model.vit(images).last_hidden_state, tokens, atol=1e-5, rtol=1e-5)


def test_what_is_new_is_drawn_from_the_seed_and_the_global_state_stays(encoder):
    before = torch.get_rng_state()
    a, b, c = (build_yolos(encoder, (48, 40), 6, 4, seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name])
    assert not torch.equal(a.vit.embeddings.detection_tokens, c.vit.embeddings.detection_tokens)
    middle = a.vit.encoder.interpolation.mid_position_embeddings.detach()
    assert middle.shape == (1, 1, 1 + 30 + 6, 16) and middle.std().item() == pytest.approx(0.02, rel=0.2)
    assert a(torch.randn(1, 3, 64, 24)).logits.shape == (1, 6, 5)  # another size than the positions are made for


def test_the_heads_are_drawn_as_linear_layers_of_torch_are(encoder):
    """Uniform within 1/√inputs, biases too: with transformers' 0.02 all tokens would begin at one box."""
    model = build_yolos(encoder, (32, 32), 6, 4, seed=0)
    for layer in (*model.class_labels_classifier.layers, *model.bbox_predictor.layers):
        bound = layer.in_features**-0.5
        assert 0.8 * bound < layer.weight.abs().max() <= bound and 0.2 * bound < layer.bias.abs().max() <= bound


@torch.no_grad()
def test_half_precision_is_of_the_blocks_alone(encoder):
    model, images = build_yolos(encoder, (32, 32), 6, 4, seed=0).eval(), torch.randn(2, 3, 32, 32)
    whole, half = predict(model, images), predict(model, images, bf16=True)
    out = model(images)
    assert torch.equal(whole[0], out.logits) and torch.equal(whole[1], out.pred_boxes)
    assert all(value.dtype == torch.float32 for value in half) and not torch.equal(half[1], whole[1])
    assert not torch.equal(half[1], half[1].bfloat16().float())  # boxes are not rounded to eight bits


def test_an_encoder_with_other_parts_is_refused():
    for other, said in (
        ({"qk_norm": True}, r"blocks.0.attn.q_norm.weight, for which YOLOS has no place"),
        ({"reg_tokens": 4}, r"reg_token, for which YOLOS has no place"),
        ({"no_embed_class": True}, "no position embedding of its CLS token"),
        ({"qkv_bias": False}, "linear layers without biases"),
        ({"act_layer": "quick_gelu"}, "activation of other is QuickGELU.*exact GELU"),
    ):
        vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=1, img_size=32, **other)
        with pytest.raises(EvaluationError, match=said):
            build_yolos(Encoder(vit, (0, 0, 0), (1, 1, 1), "other"), (32, 32), 6, 4, 0)


def targets(*counts):
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "class_labels": torch.randint(0, 4, (n,), generator=generator),
            "boxes": torch.rand(n, 4, generator=generator) * 0.4 + 0.1,
        }
        for n in counts
    ]


def test_the_loss_of_one_photo_is_that_of_transformers():
    torch.manual_seed(0)
    logits, boxes = torch.randn(1, 6, 5), torch.rand(1, 6, 4)
    reference = ImageLoss(HungarianMatcher(1, 5, 2), 4, 0.1, ["labels", "boxes"])
    expected = reference({"logits": logits, "pred_boxes": boxes}, targets(3))
    terms = set_loss(logits, boxes, targets(3), images=1, objects=3)
    assert terms["class"].item() == pytest.approx(expected["loss_ce"].item(), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(5 * expected["loss_bbox"].item(), rel=1e-5)
    assert terms["giou"].item() == pytest.approx(2 * expected["loss_giou"].item(), rel=1e-5)


def test_the_loss_of_a_batch_is_a_mean_over_its_photos_and_objects_and_does_not_depend_on_its_split():
    torch.manual_seed(0)
    logits, boxes, wanted = torch.randn(3, 6, 5), torch.rand(3, 6, 4), targets(2, 0, 4)
    whole = set_loss(logits, boxes, wanted, 3, 6)
    parts = [set_loss(logits[i : i + 1], boxes[i : i + 1], wanted[i : i + 1], 3, 6) for i in range(3)]
    alone = [set_loss(logits[i : i + 1], boxes[i : i + 1], wanted[i : i + 1], 1, 1) for i in range(3)]
    for name, value in whole.items():
        torch.testing.assert_close(value, sum(part[name] for part in parts))
        torch.testing.assert_close(value, sum(part[name] for part in alone) / (3 if name == "class" else 6))


def test_a_batch_without_any_object_has_a_loss_and_a_gradient():
    logits, boxes = torch.randn(1, 6, 5, requires_grad=True), torch.rand(1, 6, 4)
    terms = set_loss(logits, boxes, targets(0), 1, 0)
    sum(terms.values()).backward()
    assert terms["l1"] == terms["giou"] == 0 and logits.grad.abs().sum() > 0


def test_the_schedule_is_a_cosine_one_epoch_late():
    rates = [learning_rate(epoch, 150, 2.5e-5, 1e-7) for epoch in range(150)]
    assert rates[0] == rates[1] == 2.5e-5 and rates == sorted(rates, reverse=True)
    assert rates[76] == pytest.approx(1e-7 + (2.5e-5 - 1e-7) * (1 + math.cos(math.pi / 2)) / 2)


def test_layer_scales_are_finetuned_as_they_are_and_without_decay(scaled):
    model = build_yolos(scaled, (32, 32), 6, 4, 0)
    _, others = parameter_groups(model, 0.1)
    spared = {id(p) for p in others["params"]}
    for block, layer in zip(scaled.net.blocks, model.vit.encoder.layer, strict=True):
        for own, (dense, scale) in ((block.ls1, layer.attention.output.dense), (block.ls2, layer.output.dense)):
            assert torch.equal(scale.gamma, own.gamma) and scale.gamma is not own.gamma
            assert scale.gamma.requires_grad and id(scale.gamma) in spared
            assert dense.weight.requires_grad and id(dense.weight) not in spared


def test_decay_is_for_matrices_between_positions_and_heads(encoder):
    model = build_yolos(encoder, (32, 32), 6, 4, 0)
    decayed, others = parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    spared = sorted(names[id(p)] for p in others["params"])
    assert len(decayed["params"]) + len(spared) == len(names)
    assert {"vit.embeddings.cls_token", "vit.embeddings.detection_tokens", "vit.embeddings.position_embeddings"} <= set(
        spared
    )
    assert all(n.endswith(("bias", "cls_token", "_tokens", "position_embeddings")) or "layernorm" in n for n in spared)
    assert not any("mid_position" in n or "predictor" in n or "classifier" in n for n in spared)
