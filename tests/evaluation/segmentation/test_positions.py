"""Positions at other sizes are mmsegmentation's, and at their own size timm's network is left as it is."""

import copy

import pytest
import timm
import torch
from mmseg.models.backbones import VisionTransformer as Theirs
from torch import nn

from cribo.evaluation.segmentation.backbone import Backbone
from cribo.evaluation.segmentation.positions import resample_plainly
from cribo.model.networks.backbone import resampled


@pytest.mark.parametrize("new", [(8, 8), (7, 3), (3, 2), (4, 4)])
def test_another_grid_has_the_positions_of_mmsegmentation(new):
    own = torch.randn(1, 17, 24)
    wanted = Theirs.resize_pos_embed(own, new, (4, 4), "bicubic")
    torch.testing.assert_close(resampled(own, (4, 4), new), wanted, rtol=0, atol=1e-6)


def test_a_backbone_has_them_at_its_crop_and_from_there_at_the_sizes_of_photos(own_encoder):
    nn.init.normal_(own_encoder.net.pos_embed)
    own = own_encoder.net.pos_embed.detach().clone()
    vit = Backbone(own_encoder, 64).vit
    at_crop = Theirs.resize_pos_embed(own, (8, 8), (4, 4), "bicubic")
    assert torch.allclose(vit.pos_embed, at_crop, atol=1e-6) and vit.patch_embed.grid_size == (8, 8)
    nothing = vit._pos_embed(torch.zeros(2, 5, 9, 24)) - torch.cat([vit.cls_token, torch.zeros(1, 45, 24)], 1)
    wanted = Theirs.resize_pos_embed(at_crop, (5, 9), (8, 8), "bicubic")
    torch.testing.assert_close(nothing, wanted.expand(2, -1, -1))


@pytest.mark.parametrize("args", [{}, {"reg_tokens": 2}, {"reg_tokens": 2, "no_embed_class": True}, {"pos_embed": "none"}])
def test_at_its_own_size_a_network_gives_the_very_same(args):
    shape = {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 3, "img_size": 32, "dynamic_img_size": True}
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **shape, **args).eval()
    images = torch.randn(2, 3, 32, 32)
    before = vit.forward_features(images)
    resample_plainly(vit, 32)
    assert torch.equal(vit.forward_features(images), before)
    assert torch.equal(copy.deepcopy(vit).forward_features(images), before)


def test_a_copy_resamples_its_own_positions(own_encoder):
    backbone = Backbone(own_encoder, 32)
    other, images = copy.deepcopy(backbone), torch.randn(1, 3, 40, 32)
    nn.init.normal_(other.vit.pos_embed)
    assert not torch.allclose(other(images)[0], backbone(images)[0])
