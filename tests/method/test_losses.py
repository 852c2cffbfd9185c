"""Chunked cross-entropy and its hand-written gradient against autograd on whole logits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from cribo.method.losses import Prototypes, Softmax, mean_logits, soft_cross_entropy, update_centre
from cribo.method.rows import Rows


def problem(n, h, L, T, seed):
    """Arguments of the loss; the student's bottleneck vectors, directions and scales want gradients."""
    g = torch.Generator().manual_seed(seed)
    r = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    student = Prototypes(r(L, h).requires_grad_(), (torch.rand(L, generator=g) + 0.5).requires_grad_())
    teacher = Prototypes(r(L, h), torch.rand(L, generator=g) + 0.5)
    return r(n, h).requires_grad_(), student, r(T, n, h), teacher, r(L), torch.rand(T, n, generator=g)


def exactly(args):
    """The same problem in float64."""
    x, student, *rest = (Prototypes(*(y.double() for y in a)) if isinstance(a, Prototypes) else a.double() for a in args)
    return x.detach().requires_grad_(), Prototypes(*(y.detach().requires_grad_() for y in student)), *rest


def loss_of(x, prototypes, targets, teacher_prototypes, centre, weights, tau_s, tau_t, *how, **more):
    """Ours."""
    p, q = Softmax(prototypes, tau_s), Softmax(teacher_prototypes, tau_t, centre)
    return soft_cross_entropy(x, p, targets, q, weights, *how, **more)


def whole(x, prototypes, targets, teacher_prototypes, centre, weights, tau_s, tau_t):
    """Log-softmax over all logits at once."""
    logp = F.log_softmax(x @ prototypes.matrix().T / tau_s, dim=-1)
    return torch.stack(
        [
            -(w * (F.softmax((t @ teacher_prototypes.matrix().T - centre) / tau_t, dim=-1) * logp).sum(-1)).sum()
            for t, w in zip(targets, weights, strict=True)
        ]
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(2, 20), st.integers(1, 3), st.integers(1, 60), st.integers(0, 50))
def test_loss_and_gradients_equal_autograd_on_whole_logits_for_any_block(n, L, T, block, seed):
    # In fp32 logits of some tens, off by 1e-7 of that, are divided by temperatures: gradients are off by up to some 1e-4.
    for args, tolerance in ((single := problem(n, 4, L, T, seed), 1e-3), (exactly(single), 1e-10)):
        total, parts, _ = loss_of(*args, 0.1, 0.07, block=block)
        leaves = args[0], *args[1]
        ours = torch.autograd.grad(3 * total, leaves)
        expected = whole(*args, 0.1, 0.07)
        theirs = torch.autograd.grad(3 * expected.sum(), leaves)
        torch.testing.assert_close(parts, expected.detach(), rtol=tolerance, atol=tolerance)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_in_float64_loss_and_gradients_are_those_of_whole_logits_to_the_last_digits():
    args = exactly(problem(7, 4, 13, 2, 0))
    total, parts, _ = loss_of(*args, 0.1, 0.07, block=20)
    expected = whole(*args, 0.1, 0.07)
    torch.testing.assert_close(parts, expected.detach(), rtol=1e-12, atol=1e-12)
    leaves = args[0], *args[1]
    pairs = zip(torch.autograd.grad(total, leaves), torch.autograd.grad(expected.sum(), leaves), strict=True)
    for ours, theirs in pairs:
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_rows_of_weight_zero_carry_neither_loss_nor_gradient():
    x, w, t, wt, c, weights = problem(4, 3, 7, 1, 0)
    weights[:, 2] = 0
    total, *_ = loss_of(x, w, t, wt, c, weights, 0.1, 0.04)
    (grad,) = torch.autograd.grad(total, x)
    assert grad[2].abs().sum() == 0 and grad[1].abs().sum() > 0


@pytest.mark.parametrize("block", [7, 14, 28])
def test_leaving_out_rows_of_weight_zero_changes_neither_loss_nor_gradient(block):
    x, w, t, wt, c, weights = problem(7, 3, 7, 2, 0)
    weights[:, [1, 4, 5]] = 0
    found = []
    for rows in (None, Rows.of((weights != 0).any(dim=0))):
        total, parts, entropy = loss_of(x, w, t, wt, c, weights, 0.1, 0.04, rows, block=block)
        found.append((parts, entropy, *torch.autograd.grad(total, (x, *w))))
    for every, some in zip(*found, strict=True):
        torch.testing.assert_close(some, every)
    assert found[0][2][[0, 2, 3, 6]].abs().sum() > 0


def test_all_weights_zero_gives_zero_not_nan():
    x, w, t, wt, c, weights = problem(4, 3, 7, 2, 0)
    total, parts, entropy = loss_of(x, w, t, wt, c, weights * 0, 0.1, 0.04)
    total.backward()
    assert total == 0 and parts.isfinite().all() and entropy.isfinite().all() and (x.grad == 0).all()


def test_teacher_entropy_is_that_of_its_softmax():
    x, w, t, wt, c, weights = problem(5, 3, 7, 2, 1)
    entropy = loss_of(x, w, t, wt, c, weights, 0.1, 0.5)[2]
    for j in range(2):
        q = F.softmax((t[j] @ wt.matrix().T - c) / 0.5, dim=-1)
        rows = -(q * q.log()).sum(-1)
        torch.testing.assert_close(entropy[j], (rows * weights[j]).sum())


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_logits_of_any_size_stay_finite(scale):
    x, w, t, wt, c, weights = problem(4, 3, 7, 1, 0)
    total, *_ = loss_of(x * scale, w, t * scale, wt, c, weights, 0.01, 0.01)
    assert total.isfinite()


def test_mean_logits_come_from_the_mean_of_bottlenecks():
    rows, prototypes = torch.randn(6, 4), Prototypes(torch.randn(9, 4), torch.rand(9))
    expected = (rows @ prototypes.matrix().T).mean(0)
    torch.testing.assert_close(mean_logits(rows.sum(0), torch.tensor(6.0), prototypes), expected)


def test_a_centre_moves_by_its_momentum_and_not_at_all_without_rows():
    centre = torch.tensor([1.0, 2.0])
    update_centre(centre, torch.tensor([3.0, 0.0]), torch.tensor(5.0), 0.9)
    torch.testing.assert_close(centre, torch.tensor([1.2, 1.8]))
    update_centre(centre, torch.tensor([9.0, 9.0]), torch.tensor(0.0), 0.9)
    torch.testing.assert_close(centre, torch.tensor([1.2, 1.8]))
