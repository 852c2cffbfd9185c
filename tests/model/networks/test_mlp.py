"""The MLP of a block: timm's numbers, to rounding, whichever passes it takes."""

import pytest
import timm.layers
import torch
from torch import nn

from cribo.model.networks.mlp import Mlp, TwoLayers, gelu_gradient, replace_mlps
from tests.model.networks.own_passes import calls_of_a_network_like_timms, off, same_to_rounding, vit


def test_gradients_of_the_two_layers_are_those_of_autograd():
    torch.manual_seed(0)
    tensors = [torch.randn(s) for s in ((2, 5, 6), (24, 6), (24,), (6, 24), (6,))]
    tensors = [t.bfloat16().float().requires_grad_() for t in tensors]
    upstream = torch.randn(2, 5, 6).bfloat16()
    ours = TwoLayers.apply(tensors[0].bfloat16(), *tensors[1:])
    exact = [t.detach().double().requires_grad_() for t in tensors]
    x, w1, b1, w2, b2 = exact
    theirs = nn.functional.gelu(x @ w1.T + b1) @ w2.T + b2
    gradients = torch.autograd.grad(ours, tensors, upstream), torch.autograd.grad(theirs, exact, upstream.double())
    same_to_rounding((ours, gradients[0]), (theirs, gradients[1]))


def test_the_operator_keeps_torchs_rules():
    arguments = torch.randn(7, 16).bfloat16(), torch.randn(7, 16).bfloat16()
    torch.library.opcheck(gelu_gradient, arguments)


@pytest.mark.parametrize("recompute", [False, True])
def test_compiled_with_its_own_passes_a_network_has_the_features_and_gradients_of_timms_to_rounding(own_passes, recompute):
    calls = calls_of_a_network_like_timms(replace_mlps, recompute, ["gelu_gradient"])
    assert sum(c["gelu_gradient"] for c in calls) == len(vit().blocks), (
        "gradients should go through the operator once a block"
    )


def test_weights_keep_their_names_and_uncompiled_every_bit_of_the_output_stays():
    net, images = vit().eval(), torch.randn(2, 3, 48, 48)
    before, names = net.forward_features(images), list(net.state_dict())
    weights = dict(net.named_parameters())
    replace_mlps(net)
    assert all(type(block.mlp) is Mlp for block in net.blocks)
    assert list(net.state_dict()) == names and all(p is weights[name] for name, p in net.named_parameters())
    assert torch.equal(net.forward_features(images), before)


@pytest.mark.parametrize("change", [{"drop": 0.1}, {"norm_layer": nn.LayerNorm}, {"act_layer": nn.SiLU}, {"bias": False}])
def test_an_mlp_of_other_parts_stays_timms(change):
    net = vit()
    net.blocks[1].mlp = timm.layers.Mlp(net.num_features, **change)
    replace_mlps(net)
    assert [type(block.mlp) is Mlp for block in net.blocks[:2]] == [True, False]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_compiled_layers_give_the_output_and_gradients_of_uncompiled_ones_to_rounding():
    ends = []
    for compiled in (False, True):
        torch.manual_seed(0)
        layer = Mlp(384, 1536).cuda()
        x = torch.randn(64, 197, 384, device="cuda", requires_grad=True)
        with torch.autocast("cuda", torch.bfloat16):
            out = (torch.compile(layer) if compiled else layer)(x)
        out.float().square().sum().backward()
        ends.append([out, x.grad, *(p.grad for p in layer.parameters())])
    for plain, ours in zip(*ends, strict=True):
        assert ours.dtype == plain.dtype and off(ours, plain) < 1e-2
    # The sums that are biases' gradients are not rounded to bf16 there; almost all else is equal.
    assert not any(torch.equal(ends[0][of_bias], ends[1][of_bias]) for of_bias in (3, 5)), "went no way of their own"
