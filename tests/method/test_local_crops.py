"""DINO's multi-crop: the loss over all pairs as DINO's own code takes it, whole or in parts."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from cribo.method.local_crops import local_step
from cribo.method.step import Centres
from cribo.method.student import student_step
from cribo.method.teacher import teacher_step
from cribo.model.networks.backbone import tokens
from tests.method.test_step import Alone, B, batch, setting

CROPS, SIDE = 3, 16


def prepared(**changes):
    teacher, student, centres, _, how = setting(["global"], local_crops=CROPS, **changes)
    images, *rest = batch()
    crops = torch.randn(CROPS * B, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    teaching = teacher_step(teacher, images, *rest, None, False, how, Alone())
    return teacher, student, centres, how, images, crops, teaching


def both(student, images, crops, teaching, centres, how, parts):
    """Loss and gradients, taken part by part as the engine does."""
    total, student = 0, student.zero_grad() or student
    for part in parts:
        for step, pixels in ((student_step, images), (local_step, crops)):
            losses = step(student, pixels, teaching, centres, 0.05, how, Alone(), part)
            losses.total.backward()
            total = total + losses.total.detach()
    return total, [p.grad.clone() for p in student.parameters() if p.requires_grad]


def dinos_loss(teacher, student, images, crops, centre):
    """As in DINO's code: every view of the student against every other one of the teacher's two, and the mean."""

    def logits(network, x):
        return network.head(tokens(network.backbone, x)[0]) @ network.head.image_prototypes().matrix().T

    with torch.no_grad():
        taught = [F.softmax((out - centre) / 0.05, dim=-1) for out in logits(teacher, images).chunk(2)]
    seen = [*logits(student, images).chunk(2), *logits(student, crops).chunk(CROPS)]
    total, terms = 0, 0
    for iq, q in enumerate(taught):
        for v, out in enumerate(seen):
            if v != iq:
                total, terms = total + torch.sum(-q * F.log_softmax(out / 0.1, dim=-1), dim=-1).mean(), terms + 1
    return total / terms


def test_the_loss_and_every_gradient_are_those_of_dinos_multi_crop():
    teacher, student, centres, how, images, crops, teaching = prepared()
    total, gradients = both(student, images, crops, teaching, centres, how, [slice(None)])
    student.zero_grad()
    expected = dinos_loss(teacher, student, images, crops, centres.images)
    expected.backward()
    torch.testing.assert_close(total, expected.detach())
    for ours, p in zip(gradients, (p for p in student.parameters() if p.requires_grad), strict=True):
        torch.testing.assert_close(ours, p.grad, rtol=1e-4, atol=1e-6)


def test_the_two_parts_of_the_term_add_up_to_the_loss_and_the_entropy_is_that_of_the_targets():
    teacher, student, centres, how, images, crops, teaching = prepared()
    views = student_step(student, images, teaching, centres, 0.05, how, Alone())
    local = local_step(student, crops, teaching, centres, 0.05, how, Alone())
    expected = dinos_loss(teacher, student, images, crops, centres.images).detach()
    torch.testing.assert_close(views.terms["loss_global"] + local.terms["loss_global"], expected)
    without = student_step(student, images, teaching, centres, 0.05, dataclasses.replace(how, local_crops=0), Alone())
    torch.testing.assert_close(views.terms["entropy_images"], without.terms["entropy_images"])


@pytest.mark.parametrize("parts", [[slice(0, 3), slice(3, B)], [slice(i, i + 1) for i in range(B)]])
def test_parts_of_a_batch_add_up_to_the_whole(parts):
    _, student, centres, how, images, crops, teaching = prepared()
    whole, parted = (both(student, images, crops, teaching, centres, how, p) for p in ([slice(None)], parts))
    torch.testing.assert_close(whole[0], parted[0])
    for a, b in zip(whole[1], parted[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_sum_of_directions_is_twice_their_mean():
    totals = []
    for directions in ("mean", "sum"):
        _, student, centres, how, images, crops, teaching = prepared(directions=directions)
        totals.append(both(student, images, crops, teaching, centres, how, [slice(None)])[0])
    torch.testing.assert_close(totals[1], 2 * totals[0])


def test_each_crop_is_held_against_its_own_image():
    _, student, _, how, _, crops, teaching = prepared()
    zero = Centres(torch.zeros(11), torch.zeros(11))
    first = local_step(student, crops, teaching, zero, 0.05, how, Alone(), slice(0, 1)).total
    crops.unflatten(0, (CROPS, B))[:, 1:] += 1  # of the other images
    assert torch.equal(local_step(student, crops, teaching, zero, 0.05, how, Alone(), slice(0, 1)).total, first)
