"""A step never makes the host wait for the device: run on tensors that say they are on a GPU and hold no values.

Whatever would read a value back (a length that depends on data, `.item()`, a mask turned into indices) fails on them. Only
backward needs a driver; the losses take their gradients in their forward pass. The one number that does come back, how many
rows have a loss at all, sets out before the student's pass and is asked for after it; and the student's backbone does not
wait for what the teacher still works at in its lane.
"""

import warnings
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from cribo.method.memory_bank import MemoryBank
from cribo.method.rows import Rows, counted_first
from cribo.method.step import Centres, centres_step
from cribo.method.student import student_step
from cribo.method.teacher import teacher_step
from tests.method.test_step import GRID, Alone, B, K, setting

FAILS = (DataDependentOutputException, torch._subclasses.fake_tensor.DynamicOutputShapeException)


def one_step(bf16):
    teacher, student, _, _, how = setting()
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no autocast without a driver; what is not autocast runs all the same
        for network in (teacher, student):
            network.bf16 = bf16
            for module in network.modules():
                for name, parameter in list(module._parameters.items()):
                    if parameter is not None:
                        fake = torch.empty(parameter.shape, device="cuda")
                        module._parameters[name] = torch.nn.Parameter(fake, requires_grad=parameter.requires_grad)
        bank = MemoryBank.empty(8, K, 16, device="cuda")
        bank.pushed = 8
        centres = Centres(torch.zeros(11, device="cuda"), torch.zeros(11, device="cuda"))
        images = torch.empty(2 * B, 3, 8 * GRID, 8 * GRID, device="cuda")
        positions = torch.empty(B, 2 * GRID**2, 2, device="cuda")
        seeds, ids = (torch.zeros(shape, dtype=torch.long, device="cuda") for shape in ((B, K), (B,)))
        teaching = teacher_step(teacher, images, positions, seeds, ids, bank, True, how, Alone())
        order, tokens, represent = [], student.tokens, student.represent
        student.tokens = lambda *args: order.append("student's pass") or tokens(*args)
        student.represent = lambda *args: order.append("student's objects") or represent(*args)
        teaching = replace(teaching, lane=Noting(order))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Rows, "of", lambda counts: Sent(order, counts))
            losses = student_step(student, images, teaching, centres, 0.05, how, Alone())
        centres_step(teaching, centres, how, Alone())
        return losses, order


class Noting:
    """Stands for the teacher's lane."""

    def __init__(self, order):
        self.order = order

    @contextmanager
    def queue(self):
        self.order.append("into the lane")
        yield
        self.order.append("out of it")

    def wait(self):
        self.order.append("wait for it")


class Sent:
    """Stands for `Rows`, whose number no tensor without values can bring."""

    def __init__(self, order, counts):
        self.order, self.first = order, counted_first(counts)
        order.append("number sent")

    def indices(self):
        self.order.append("number read")
        return self.first[:3]


@pytest.mark.parametrize("bf16", [False, True])
def test_a_step_on_a_gpu_reads_nothing_back(bf16):
    losses, order = one_step(bf16)
    assert order == [
        "into the lane", "number sent", "out of it", "student's pass", "wait for it", "student's objects", "number read",
    ]  # fmt: skip
    assert losses.total.device.type == "cuda" and losses.terms["loss_cross_image"].shape == ()


def test_the_check_would_notice():
    with FakeTensorMode():
        flags = torch.zeros(4, dtype=torch.bool, device="cuda")
        for read in (lambda: flags.nonzero(), lambda: flags.any().item()):
            with pytest.raises(FAILS):
                read()
