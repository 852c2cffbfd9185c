"""Groups, clipping and EMA against loops over parameters."""

import copy

import pytest
import torch

from cribo.model.networks.head import Head
from cribo.model.networks.network import Network
from cribo.training.optimiser import (
    build_optimiser,
    clip_each,
    drop_prototype_gradients,
    follow,
    scale_each,
    set_hyperparameters,
)
from tests.tiny import tiny_vit


def network(norm_last_layer=False):
    torch.manual_seed(0)
    return Network(tiny_vit(), Head(16, 8, 6, 11, norm_last_layer, images=True, objects=True))


def test_biases_and_vectors_are_not_decayed_and_all_else_is():
    net = network()
    optimiser = build_optimiser(net, beta2=0.95)
    assert all(group["betas"] == (0.9, 0.95) for group in optimiser.param_groups)
    set_hyperparameters(optimiser, 0.1, 0.4)
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    named = dict(net.named_parameters())
    assert set(decay) == {id(p) for p in named.values()}
    for name, p in named.items():
        assert decay[id(p)] == (0.0 if name.endswith("bias") or p.ndim == 1 else 0.4), name
    assert decay[id(named["backbone.pos_embed"])] == decay[id(named["head.image_prototypes.gain"])] == 0.4


def test_a_fixed_gain_is_not_trained():
    assert not any("gain" in n for n, p in network(norm_last_layer=True).named_parameters() if p.requires_grad)


def test_clipping_is_per_tensor():
    a, b, c = (torch.nn.Parameter(torch.zeros(4)) for _ in range(3))
    a.grad, b.grad = torch.full((4,), 5.0), torch.full((4,), 0.1)
    clip_each([a, b, c], 0.3)
    torch.testing.assert_close(a.grad.norm(), torch.tensor(0.3))
    torch.testing.assert_close(b.grad, torch.full((4,), 0.1))


def test_the_teacher_moves_by_its_momentum_parameter_by_parameter():
    student, teacher = network(), network()
    with torch.no_grad():
        for p in student.parameters():
            p.add_(torch.randn_like(p))
    before = copy.deepcopy(teacher)
    follow(teacher, student, 0.9)
    for t, b, s in zip(teacher.parameters(), before.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(t, 0.9 * b + 0.1 * s)


def test_prototypes_without_gradient_stay_as_they_are():
    net = network()
    optimiser = build_optimiser(net)
    set_hyperparameters(optimiser, 0.1, 0.4)
    start = {n: p.detach().clone() for n, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    drop_prototype_gradients(net)
    optimiser.step()
    for name, p in net.named_parameters():
        assert torch.equal(p, start[name]) == ("prototypes" in name), name


def some_gradients(device="cpu"):
    shapes = [(3,), (70, 130), (1, 5, 7), (1,), (2049,)] * 30
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.zeros(shape, device=device)) for shape in shapes]
    for number, p in enumerate(parameters):
        p.grad = (torch.randn(p.shape, generator=generator) * 0.03 * (number % 7)).to(device)
    return parameters


def test_scaling_compiles_to_one_graph_that_gives_the_same_numbers():
    pairs = [[p.grad for p in some_gradients()] for _ in range(2)]
    factors = torch.rand(len(pairs[0]))
    scale_each(factors, pairs[0])
    torch.compile(scale_each, backend="aot_eager", fullgraph=True)(factors, pairs[1])
    assert all(torch.equal(a, b) for a, b in zip(*pairs, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_generated_clipping_gives_the_same_gradients_in_few_kernels():
    ends = []
    for fused in (False, True):
        for _ in range(2):  # the second time all is compiled
            parameters = some_gradients("cuda")
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
                clip_each(parameters, 0.3, fused)
                torch.cuda.synchronize()
        ends.append((parameters, sum(event.count for event in profile.key_averages() if event.device_time_total)))
    (plain, many), (ours, few) = ends
    for a, b in zip(plain, ours, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert few < many / 3, (few, many)
