"""GELU by the tail of the normal distribution: the exact one to far less than bf16 keeps, with its gradient."""

import pytest
import torch
from torch.nn import functional as F

from cribo.model.backbone import build_backbone
from cribo.model.gelu import Gelu, GeluOfTails, replace_gelus, tail

EVERY = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16)  # all numbers that bf16 has
FINITE = EVERY[EVERY.isfinite() & (EVERY.abs() < 1e30)]
ROUNDING = 2.0**-8  # the most that rounding to bf16 changes a number, relative to it


def test_the_tail_is_right_to_millionths_of_itself_as_far_as_it_is_a_billionth_of_the_whole():
    x = torch.linspace(-6, 6, 200001)
    exact = torch.special.ndtr(-x.double().abs())
    assert ((tail(x) - exact) / exact).abs().max() < 7e-6
    assert tail(torch.tensor([6.0, 9.0, 40.0, 1e10, 3e38])).max() < 1e-9


def test_of_every_number_of_bf16_it_is_the_exact_gelu_rounded_up_to_one_rounding():
    ours, exact = GeluOfTails.apply(FINITE).double(), F.gelu(FINITE.double())
    assert ((ours - exact).abs() <= ROUNDING * exact.abs() + 1e-5 * exact.abs() + 1e-8).all()


def test_its_gradient_is_that_of_the_exact_gelu_up_to_one_rounding():
    x = FINITE.clone().requires_grad_()
    (ours,) = torch.autograd.grad(GeluOfTails.apply(x), x, torch.ones_like(x))
    wide = FINITE.double().requires_grad_()
    (exact,) = torch.autograd.grad(F.gelu(wide).sum(), wide)
    assert ((ours.double() - exact).abs() <= ROUNDING * exact.abs() + 1e-5).all()


def test_compiled_it_is_one_graph_with_the_same_numbers():
    x, upstream = FINITE[::16].clone().requires_grad_(), torch.randn(len(FINITE[::16])).bfloat16()
    compiled = torch.compile(GeluOfTails.apply, backend="aot_eager", fullgraph=True)
    pairs = []
    for function in (GeluOfTails.apply, compiled):
        out = function(x)
        pairs.append((out, *torch.autograd.grad(out, x, upstream)))
    for plain, generated in zip(*pairs, strict=True):
        assert torch.equal(plain, generated)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_keeps_its_weights_and_where_nothing_is_compiled_for_a_gpu_every_bit_of_its_output(dtype):
    torch.manual_seed(0)
    vit, images = build_backbone("vit_demo_8", 48).eval().to(dtype), torch.randn(2, 3, 48, 48).to(dtype)
    before, parameters = vit.forward_features(images), dict(vit.named_parameters())
    replace_gelus(vit)
    assert all(type(block.mlp.act) is Gelu for block in vit.blocks)
    assert dict(vit.named_parameters()).keys() == parameters.keys()
    assert torch.equal(vit.forward_features(images), before)
    if dtype == torch.bfloat16:
        compiled = torch.compile(vit.forward_features, backend="aot_eager")
        assert torch.equal(compiled(images), before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_compiled_layer_gives_the_exact_gelu_up_to_one_rounding():
    x = FINITE.cuda().requires_grad_()
    layer = Gelu()
    out = torch.compile(layer)(x)
    (grad,) = torch.autograd.grad(out, x, torch.ones_like(out))
    wide = FINITE.double().cuda().requires_grad_()
    exact = F.gelu(wide)
    (slope,) = torch.autograd.grad(exact.sum(), wide)
    assert ((out.double() - exact).abs() <= ROUNDING * exact.abs() + 1e-5 * exact.abs() + 1e-8).all()
    assert ((grad.double() - slope).abs() <= ROUNDING * slope.abs() + 1e-5).all()
    assert not torch.equal(out, layer(x)), "the compiled layer should have gone another way"
