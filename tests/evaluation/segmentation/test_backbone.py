"""The encoder as mmsegmentation's backbone: the same features, and frozen when it is frozen."""

import pytest
import timm
import torch
from timm.layers import DropPath
from torch import nn

from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.segmentation.backbone import HALF, Backbone, statistics
from cribo.model.encoder import Encoder


def normalised(encoder, images):
    return (images.float() / 255 - encoder.shift) / encoder.scale


def test_the_last_map_is_the_encoder_s_own(encoder, own_encoder):
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    (found,) = Backbone(own_encoder, 32)(normalised(encoder, images))
    _, wanted = encoder(images)
    torch.testing.assert_close(found, wanted.permute(0, 3, 1, 2))


def test_a_final_norm_that_timm_keeps_for_the_pooled_feature_acts_on_the_map():
    args = {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 3, "img_size": 32, "dynamic_img_size": True}
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="avg", **args)
    torch.nn.init.normal_(vit.fc_norm.weight)
    encoder = Encoder(vit, HALF, HALF, "gap")
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    _, wanted = encoder(images)
    (found,) = Backbone(encoder, 32)(normalised(encoder, images))
    torch.testing.assert_close(found, wanted.permute(0, 3, 1, 2))


@pytest.mark.parametrize("norm_each", [False, True])
def test_maps_of_several_blocks_are_their_outputs_in_order_and_only_the_last_is_normalised(own_encoder, norm_each):
    x = torch.randn(2, 3, 48, 32)
    backbone = Backbone(own_encoder, 32, layers=2, norm_each=norm_each)
    vit = backbone.vit
    tokens, outputs = vit._pos_embed(vit.patch_embed(x)), []
    for block in vit.blocks:
        tokens = tokens + block.attn(block.norm1(tokens))
        tokens = tokens + block.mlp(block.norm2(tokens))
        outputs.append(tokens)
    wanted = [vit.norm(outputs[0]) if norm_each else outputs[0], vit.norm(outputs[1])]
    for found, own in zip(backbone(x), wanted, strict=True):
        torch.testing.assert_close(found, own[:, 1:].transpose(1, 2).reshape(2, 24, 6, 4))


def test_a_frozen_backbone_ignores_train_and_gives_no_gradient(own_encoder):
    model = nn.Sequential(Backbone(own_encoder, 32))
    model.train()
    assert model[0].training and not any(m.training for m in model[0].vit.modules())
    assert not any(p.requires_grad for p in model.parameters())
    x = torch.randn(1, 3, 32, 32, requires_grad=True)
    assert not model(x)[0].requires_grad


def test_a_backbone_to_be_finetuned_trains_in_all_its_parts(own_encoder):
    backbone = Backbone(own_encoder, 32, frozen=False).train()
    backbone(torch.randn(1, 3, 32, 32))[0].square().sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())
    assert all(m.training for m in backbone.modules())


@pytest.mark.parametrize("frozen", [True, False])
def test_drop_path_acts_in_training_only_and_on_the_mlp_branches_only(own_encoder, frozen):
    x = torch.randn(4, 3, 32, 32)
    plain = Backbone(own_encoder, 32)(x)[0]
    backbone = Backbone(own_encoder, 32, frozen=frozen, drop_path=0.9)
    assert torch.equal(backbone.eval()(x)[0], plain)
    torch.manual_seed(0)
    assert not torch.equal(backbone.train()(x)[0], plain)
    rates = [[m.drop_prob for m in block.modules() if isinstance(m, DropPath)] for block in backbone.vit.blocks]
    assert rates == [[], [pytest.approx(0.9)]]
    assert isinstance(backbone.vit.blocks[1].drop_path1, nn.Identity)


def test_sides_that_are_no_multiple_of_the_patch_are_padded_right_and_below(own_encoder):
    backbone, x = Backbone(own_encoder, 32), torch.randn(1, 3, 27, 32)
    padded = torch.zeros(1, 3, 32, 32)
    padded[:, :, :27] = x
    assert torch.equal(backbone(x)[0], backbone(padded)[0])


def test_positions_are_resampled_once_to_the_crop(own_encoder):
    assert Backbone(own_encoder, 64).vit.pos_embed.shape == (1, 65, 24)


def test_what_does_not_fit_the_encoder_is_refused(own_encoder):
    with pytest.raises(EvaluationError, match="small has 2 blocks, and the last 4 are asked for"):
        Backbone(own_encoder, 32, layers=4)
    with pytest.raises(EvaluationError, match="a crop of 30 px is not a multiple of small's 8 px patch"):
        Backbone(own_encoder, 30)
    own_encoder.net.pos_embed, kept = None, own_encoder.net.pos_embed
    del own_encoder.net.pos_embed  # as timm's NaFlexVit, whose positions lie elsewhere
    with pytest.raises(EvaluationError, match="small has no grid of positions"):
        Backbone(own_encoder, 32)
    own_encoder.net.pos_embed = kept
    own_encoder.net = nn.Conv2d(3, 4, 8)
    with pytest.raises(EvaluationError, match="small is not a ViT"):
        Backbone(own_encoder, 32)


def test_input_statistics_are_the_encoder_s_or_a_half(encoder):
    assert statistics(encoder, "encoder") == (encoder.mean, encoder.std)
    assert statistics(encoder, "half") == (HALF, HALF)
