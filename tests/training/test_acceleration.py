"""Compiled networks of two processes have the gradients of uncompiled ones (of one process: tests/model/networks)."""

from functools import partial
from unittest import mock

import torch

from cribo.model.networks import attention, mlp
from cribo.model.networks.head import Head
from cribo.model.networks.network import Network
from cribo.params import load
from cribo.training.acceleration import accelerate
from cribo.training.engine.distributed import data_parallel, join_world
from tests.processes import Forks
from tests.tiny import tiny_vit

K = 4


def network():
    torch.manual_seed(0)
    vit = tiny_vit(grid=3, width=256)  # six megabytes; heads of 128 numbers
    attention.replace_attentions(vit)
    mlp.replace_mlps(vit)
    return Network(vit, Head(256, 32, 16, 40, True, images=True, objects=True), bf16=True)


def gradients(world, compiled, recompute):
    """Of two passes together, averaged over the processes."""
    student = network()
    parallel = data_parallel(student, world)
    parallel.bucket_bytes_cap = 2**20  # so that compiled graphs are cut where gradients are exchanged
    compute = load("recipes/demo.yaml").compute.model_copy(update={"compile": compiled, "recompute": recompute})
    accelerate(student, network(), compute)
    torch.manual_seed(world.rank)
    for _ in range(2):
        labels = torch.randint(0, K, (4, 18))
        out = parallel(torch.randn(8, 3, 24, 24), labels, K)
        parts = *out[:2], *out.image_prototypes, *out.object_prototypes
        sum((x * torch.randn_like(x)).sum() for x in parts).backward()
    return [p.grad.clone() for p in student.parameters() if p.requires_grad]


def compare():
    """A GPU's passes, taken on the CPU; the compiler that generates code is left out, it takes a minute."""
    whenever_compiled = mock.patch.object(mlp, "takes_own_passes", lambda x: torch.compiler.is_compiling())
    graphs = mock.patch.object(torch, "compile", partial(torch.compile, backend="aot_eager"))
    with join_world("cpu") as world:
        plain = gradients(world, False, False)
        for recompute in (False, True):
            torch._dynamo.reset()
            with whenever_compiled, graphs:
                ours = gradients(world, True, recompute)
            for a, b in zip(ours, plain, strict=True):
                assert ((a - b).norm() / b.norm()).item() < 0.02
            own_passes = not all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))
            assert own_passes is not recompute  # which an older torch would not free


def test_compiled_networks_of_two_processes_have_the_gradients_of_uncompiled_ones_to_rounding():
    forks = Forks(compare, 2)
    _, err = forks.communicate()
    assert forks.returncode == 0, err
