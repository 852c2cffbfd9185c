"""What parts with passes of their own are tested with: a small ViT, its gradients, a compiler that counts."""

import torch

from cribo.model.architectures import BACKBONES
from cribo.model.networks.backbone import build_backbone


def vit():
    torch.manual_seed(0)
    return build_backbone(BACKBONES["vit_demo_8"], 48)


def off(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def same_to_rounding(ours, exact):
    """Assert that output (bf16) and gradients (fp32) are the exact ones."""
    assert ours[0].dtype == torch.bfloat16 and off(ours[0], exact[0]) < 1e-2
    for mine, its in zip(ours[1], exact[1], strict=True):
        assert mine.dtype == torch.float32 and off(mine, its) < 1e-2


def calls_of_a_network_like_timms(replace, recompute, operators):
    """How often each graph of a compiled ViT calls these operators. Assert that it computes what timm's does."""
    net = vit()
    exact, by_exact = _output_and_gradients(net, net.forward_features, autocast=False)
    plain, by_plain = _output_and_gradients(net, net.forward_features)
    replace(net)
    net.set_grad_checkpointing(recompute)
    calls = []
    compiled = torch.compile(net.forward_features, backend=_counting(calls, operators))
    ours, by_ours = _output_and_gradients(net, compiled)
    assert off(ours, exact) < 1.5 * off(plain, exact)
    for name, gradient in by_ours.items():
        assert gradient.dtype == torch.float32
        assert off(gradient, by_exact[name]) < 1.5 * off(by_plain[name], by_exact[name]) + 1e-3, name
    return calls


def _output_and_gradients(net, forward, autocast=True):
    torch.manual_seed(1)
    images, upstream = torch.randn(3, 3, 48, 48), torch.randn(3, 37, net.num_features)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = forward(images)
    (out.float() * upstream).sum().backward()
    gradients = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    return out.detach(), gradients


def _counting(calls, operators):
    """A compiler that notes how often each graph calls the operators."""
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    def count(graph, _inputs):
        names = [str(node.target) for node in graph.graph.nodes]
        calls.append({op: sum(f"cribo.{op}." in name for name in names) for op in operators})
        return make_boxed_func(graph.forward)

    return aot_autograd(fw_compiler=count, bw_compiler=count)
