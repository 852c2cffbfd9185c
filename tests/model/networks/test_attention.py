"""The attention of a block: timm's numbers, to rounding, whichever passes it takes."""

import pytest
import timm.layers
import torch
from torch import nn

from cribo.model.networks import mlp
from cribo.model.networks.attention import SHORT, Attention, Heads, attend, attention_gradient, replace_attentions
from tests.model.networks.kernels import reference
from tests.model.networks.own_passes import calls_of_a_network_like_timms, off, same_to_rounding, vit


def test_outputs_and_gradients_of_the_heads_are_those_of_autograd():
    torch.manual_seed(0)
    tensors = [(0.4 * torch.randn(s)).bfloat16().float().requires_grad_() for s in ((2, 5, 12), (36, 12), (36,))]
    upstream = torch.randn(2, 5, 12).bfloat16()
    ours = Heads.apply(tensors[0].bfloat16(), *tensors[1:], 3)
    exact = [t.detach().double().requires_grad_() for t in tensors]
    theirs = reference.attention(exact[0] @ exact[1].T + exact[2], 3)
    gradients = torch.autograd.grad(ours, tensors, upstream), torch.autograd.grad(theirs, exact, upstream.double())
    same_to_rounding((ours, gradients[0]), (theirs, gradients[1]))


def test_the_operators_keep_torchs_rules():
    packed, upstream = torch.randn(2, 7, 24).bfloat16(), torch.randn(2, 7, 8).bfloat16()
    torch.library.opcheck(attend, (packed, 2))
    torch.library.opcheck(attention_gradient, (packed, *attend(packed, 2), upstream, 2))


@pytest.mark.parametrize("recompute", [False, True])
def test_compiled_with_its_own_passes_a_network_has_the_features_and_gradients_of_timms_to_rounding(own_passes, recompute):
    calls = calls_of_a_network_like_timms(replace_attentions, recompute, ["attend", "attention_gradient"])
    blocks = len(vit().blocks)
    assert calls[0]["attend"] == blocks and sum(c["attention_gradient"] for c in calls) == blocks


@pytest.mark.parametrize("why", ["uncompiled", "recomputed", "written out", "long", "masked"])
def test_otherwise_timms_passes_give_every_bit_of_the_output(own_passes, monkeypatch, why):
    torch.manual_seed(0)
    theirs, n = timm.layers.Attention(32, 2, qkv_bias=True), SHORT + 1 if why == "long" else 9
    block = nn.Module()
    block.attn, block.blocks = theirs, [block]
    replace_attentions(block)
    ours = block.attn
    assert type(ours) is Attention
    theirs.fused_attn = ours.fused_attn = why != "written out"
    ours.recomputed = why == "recomputed"
    mask = {"attn_mask": torch.rand(n, n) > 0.3} if why == "masked" else {}
    if why != "uncompiled":
        monkeypatch.setattr(mlp, "takes_own_passes", lambda x: True)
    x = torch.randn(2, n, 32)
    assert torch.equal(ours(x, **mask), theirs(x, **mask))


def test_weights_keep_their_names():
    net = vit()
    weights = dict(net.named_parameters())
    replace_attentions(net)
    assert all(type(block.attn) is Attention for block in net.blocks)
    assert [name for name, _ in net.named_parameters()] == list(weights)
    assert all(p is weights[name] for name, p in net.named_parameters())


@pytest.mark.parametrize(
    "change",
    [
        {"attn_drop": 0.1},
        {"proj_drop": 0.1},
        {"qkv_bias": False},
        {"qk_norm": True, "norm_layer": nn.LayerNorm},
        {"scale_norm": True, "norm_layer": nn.LayerNorm},
        {"num_heads": 4},  # of 12 numbers each
    ],
)
def test_an_attention_of_other_parts_stays_timms(change):
    net = vit()
    net.blocks[1].attn = timm.layers.Attention(48, **{"num_heads": 3, "qkv_bias": True} | change)
    replace_attentions(net)
    assert [type(block.attn) is Attention for block in net.blocks[:2]] == [True, False]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_compiled_layers_give_the_output_and_gradients_of_uncompiled_ones_to_rounding():
    ends = []
    for compiled in (False, True):
        torch.manual_seed(0)
        layer = nn.Module()
        layer.attn, layer.blocks = timm.layers.Attention(384, 6, qkv_bias=True), [layer]
        replace_attentions(layer)
        attn = layer.attn.cuda()
        x = torch.randn(64, 197, 384, device="cuda", requires_grad=True)
        with torch.autocast("cuda", torch.bfloat16):
            out = (torch.compile(attn) if compiled else attn)(x)
        out.float().square().sum().backward()
        ends.append([out, x.grad, *(p.grad for p in attn.parameters())])
    for plain, ours in zip(*ends, strict=True):
        assert ours.dtype == plain.dtype and off(ours, plain) < 2e-2
    assert not torch.equal(ends[0][0], ends[1][0]), "went no way of their own"
