"""Head and network against their definitions."""

import pytest
import timm.layers
import torch
from torch.nn import functional as F

from cribo.model.networks.head import Head, PrototypeLayer
from cribo.model.networks.mlp import Mlp
from cribo.model.networks.network import Network, build_network
from cribo.params import load
from cribo.plan import pretrain_settings
from tests.tiny import tiny_vit


def test_prototypes_equal_torchs_weight_normalised_linear_layer():
    ours = PrototypeLayer(6, 11, trainable_gain=True)
    theirs = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(6, 11, bias=False))
    theirs.parametrizations.weight.original1.data.copy_(ours.direction.data)
    theirs.parametrizations.weight.original0.data.copy_(torch.rand(11, 1) + 0.5)
    ours.gain.data.copy_(theirs.parametrizations.weight.original0.data)
    torch.testing.assert_close(ours().matrix(), theirs.weight)
    upstream = torch.randn(11, 6)
    (ours().matrix() * upstream).sum().backward()
    (theirs.weight * upstream).sum().backward()
    gains, directions = (getattr(theirs.parametrizations.weight, f"original{i}").grad for i in range(2))
    torch.testing.assert_close(ours.gain.grad, gains)
    torch.testing.assert_close(ours.direction.grad, directions)


def test_the_head_ends_in_a_unit_bottleneck_and_starts_with_gain_one():
    head = Head(16, 8, 6, 11, norm_last_layer=False, images=True, objects=True)
    out = head(torch.randn(2, 5, 16))
    assert out.shape == (2, 5, 6)
    torch.testing.assert_close(out.norm(dim=-1), torch.ones(2, 5))
    torch.testing.assert_close(head.image_prototypes().matrix().norm(dim=1), torch.ones(11))
    assert all((layer.bias == 0).all() for layer in head.mlp if isinstance(layer, torch.nn.Linear))


def test_images_and_objects_share_the_mlp_and_not_the_prototypes():
    head = Head(16, 8, 6, 11, norm_last_layer=True, images=True, objects=True)
    assert not torch.equal(head.image_prototypes().direction, head.object_prototypes().direction)
    assert Head(16, 8, 6, 11, True, images=False, objects=True).image_prototypes is None


def test_tokens_come_ordered_by_view_and_then_row_by_row():
    torch.manual_seed(0)
    net = Network(tiny_vit().eval(), Head(16, 8, 6, 11, True, images=True, objects=True))
    images = torch.randn(2 * 3, 3, 32, 32)
    cls, patches = net.tokens(images)
    assert cls.shape == (2, 3, 16) and patches.shape == (3, 32, 16)
    alone = net.backbone.forward_features(images[3 + 1 : 3 + 2])[0]  # view 2 of image 1
    torch.testing.assert_close(cls[1, 1], alone[0])
    torch.testing.assert_close(patches[1, 16:], alone[1:])


def test_objects_are_projected_means_of_the_networks_own_tokens():
    torch.manual_seed(0)
    net = Network(tiny_vit().eval(), Head(16, 8, 6, 11, True, images=True, objects=True))
    images, labels = torch.randn(4, 3, 32, 32), torch.randint(0, 3, (2, 32))
    out = net(images, labels, 3)
    _, patches = net.tokens(images)
    mean = patches[1, :16][labels[1, :16] == 2].mean(0)
    torch.testing.assert_close(out.objects[0, 1, 2], F.normalize(net.head.mlp(mean), dim=-1))


def test_bf16_is_for_backbone_and_mlp_only_and_what_leaves_them_is_fp32():
    torch.manual_seed(0)
    plain = Network(tiny_vit().eval(), Head(16, 8, 6, 11, True, images=True, objects=True))
    fast = Network(plain.backbone, plain.head, bf16=True)
    images, labels = torch.randn(4, 3, 32, 32), torch.randint(0, 3, (2, 32))
    a, b = plain(images, labels, 3), fast(images, labels, 3)
    for x, y in ((a.images, b.images), (a.objects, b.objects), *zip(a[2], b[2], strict=True), *zip(a[3], b[3], strict=True)):
        assert y.dtype == torch.float32
        torch.testing.assert_close(x, y, rtol=0.1, atol=0.05)
    assert not torch.equal(a.objects, b.objects)
    assert torch.equal(a.object_prototypes.direction, b.object_prototypes.direction)
    torch.testing.assert_close(b.objects.norm(dim=-1), torch.ones(2, 2, 3))  # normalised in fp32: exact to rounding


@pytest.mark.parametrize(("bf16", "kind"), [(True, Mlp), (False, timm.layers.Mlp)])
def test_networks_in_bf16_have_mlps_with_passes_of_their_own(bf16, kind):
    row = load("recipes/demo.yaml").model("cribo")
    for mae in ({}, {"mae": {"decoder": {"width": 8, "depth": 1, "heads": 2}}}):
        net = build_network(pretrain_settings(row) | mae, 0.0, bf16)
        assert {type(block.mlp) for block in net.backbone.blocks} == {kind}
