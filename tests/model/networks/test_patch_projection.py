"""The patch embedding as a matrix product: the convolution it replaces, under the same names."""

import pytest
import torch
from torch.nn import functional as F

from cribo.model.architectures import BACKBONES
from cribo.model.networks.backbone import build_backbone
from cribo.model.networks.patch_projection import project_patches, replace_patch_projection

DEMO = BACKBONES["vit_demo_8"]


@pytest.mark.parametrize(("height", "width", "patch", "bias"), [(12, 8, 4, True), (6, 9, 3, False)])
def test_the_product_equals_the_convolution_with_its_gradients(height, width, patch, bias):
    torch.manual_seed(0)
    tensors = [torch.randn(2, 3, height, width), torch.randn(5, 3, patch, patch)] + [torch.randn(5)] * bias
    tensors = [t.double().requires_grad_() for t in tensors]
    images, weight, *rest = tensors
    ours = project_patches(images, weight, rest[0] if bias else None)
    theirs = F.conv2d(images, weight, rest[0] if bias else None, stride=patch)
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(theirs)
    for mine, its in zip(*(torch.autograd.grad(out, tensors, upstream) for out in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, its)


def test_a_network_keeps_its_weights_their_names_and_on_a_cpu_every_bit_of_its_output():
    torch.manual_seed(0)
    vit, images = build_backbone(DEMO, 48).eval(), torch.randn(2, 3, 64, 48)
    before, parameters = vit.forward_features(images), dict(vit.named_parameters())
    replace_patch_projection(vit)
    after = dict(vit.named_parameters())
    assert list(after) == list(parameters) and all(after[name] is parameters[name] for name in after)
    assert torch.equal(vit.forward_features(images), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_features_and_gradients_are_those_of_the_convolution():
    def features_and_gradient(product):
        torch.manual_seed(0)
        vit, images = build_backbone(DEMO, 48), torch.randn(2, 3, 48, 48)
        if product:
            replace_patch_projection(vit)
        out = vit.cuda().forward_features(images.cuda())
        out.square().sum().backward()
        return out, vit.patch_embed.proj.weight.grad

    for ours, theirs in zip(features_and_gradient(True), features_and_gradient(False), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
