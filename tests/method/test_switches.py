"""Each switch of the method changes what it says, and nothing else of a step."""

import dataclasses

import pytest
import torch

from cribo.method.kmeans import KMeansSettings, kmeans
from cribo.method.memory_bank import MemoryBank
from cribo.method.oracle import VOID, LabelSettings
from cribo.method.step import centres_step
from cribo.method.student import student_step
from cribo.method.teacher import teacher_step
from tests.method.ranks import on_ranks
from tests.method.test_oracle import members
from tests.method.test_step import GRID, Alone, B, K, batch, entropy, setting


def classes():
    g = torch.Generator().manual_seed(7)
    return torch.tensor([0, 1, 2, VOID], dtype=torch.uint8)[torch.randint(0, 4, (B, 2 * GRID**2), generator=g)]


def step(ids=None, **changes):
    """What a second step gives, the bank holding one batch: teaching, losses, and the bank as it was before."""
    teacher, student, centres, bank, how = setting(**changes)
    filling = batch(1)
    teacher_step(teacher, *filling, bank, True, how, Alone(), classes())
    before = dataclasses.replace(bank, **{k: v.clone() for k, v in vars(bank).items() if torch.is_tensor(v)})
    images, positions, seeds, own = batch()
    taught = teacher_step(
        teacher, images, positions, seeds, own if ids is None else ids, bank, True, how, Alone(), classes()
    )
    losses = student_step(student, images, taught, centres, 0.05, how, Alone())
    return taught, losses, before, (teacher, student, centres, how)


def same(a, b, *fields):
    return all(torch.equal(getattr(a, field), getattr(b, field)) for field in fields)


def test_the_sum_of_both_directions_is_twice_their_mean_in_every_loss_and_gradient():
    runs = {way: step(directions=way) for way in ("mean", "sum")}
    gradients = {}
    for way, (_, losses, _, (_, student, *_)) in runs.items():
        losses.total.backward()
        gradients[way] = [p.grad for p in student.parameters() if p.grad is not None]
    for name, value in runs["mean"][1].terms.items():
        factor = 2 if name.startswith("loss") else 1
        torch.testing.assert_close(runs["sum"][1].terms[name], factor * value)
    for mean, total in zip(gradients["mean"], gradients["sum"], strict=True):
        torch.testing.assert_close(total, 2 * mean, rtol=1e-4, atol=1e-6)
    assert same(runs["mean"][0], runs["sum"][0], "labels", "valid", "accepted")


@pytest.mark.parametrize("images", [1, 2, 4])
def test_means_over_objects_are_taken_over_groups_of_images_and_then_averaged(images):
    taught, losses, _, (teacher, student, centres, _how) = step(mean_images=images, criterion="none")
    whole = step(criterion="none")
    assert same(taught, whole[0], "labels", "valid", "accepted")
    assert torch.equal(losses.terms["loss_global"], whole[1].terms["loss_global"])
    n = GRID**2
    with torch.no_grad():
        pixels = batch()[0]
        tokens = student.tokens(pixels)[1]
        prototypes = [_matrix(network.head.object_prototypes) for network in (teacher, student)]
        for name, chosen, targets in (
            ("cross_view", taught.valid.expand(2, -1, -1), taught.objects),
            ("cross_image", taught.accepted, taught.neighbours),
        ):
            groups = []
            for first in range(0, B, images):
                for v in range(2):
                    rows = []
                    for b in range(first, first + images):
                        for k in range(K):
                            if chosen[v, b, k]:
                                other = slice((1 - v) * n, (2 - v) * n)
                                seen = tokens[b, other][taught.labels[b, other] == k].mean(0)
                                rows.append(
                                    entropy(
                                        targets[v, b, k], prototypes[0], centres.objects, student.head(seen), prototypes[1]
                                    )
                                )
                    groups.append(sum(rows) / len(rows) if rows else torch.tensor(0.0))
            torch.testing.assert_close(losses.terms[f"loss_{name}"], sum(groups) / len(groups))


def _matrix(prototypes):
    return prototypes.gain * torch.nn.functional.normalize(prototypes.direction, dim=1)


def test_an_images_own_objects_are_left_out_of_the_bank_and_no_others():
    own = torch.tensor([10, 11, 99, 12])  # three of the images are in the bank, as 10 … 13
    with_own, without = (step(ids=own, exclude_same_image=flag, criterion="none") for flag in (False, True))
    teacher, bank = without[3][0], without[2]
    with torch.no_grad():
        for taught, hidden in ((with_own[0], []), (without[0], own.tolist())):
            for v, b, k in taught.accepted.nonzero().tolist():
                allowed = [
                    (s, x)
                    for s in range(bank.filled)
                    for x in range(K)
                    if bank.valid[s, x] and not (hidden and int(bank.image_ids[s]) == hidden[b])
                ]
                stored = {e: bank.units[v][e] * bank.norms[v][e] for e in allowed}
                close = [
                    torch.allclose(teacher.bottleneck(o), taught.neighbours[v, b, k], atol=1e-5) for o in stored.values()
                ]
                assert any(close)
    assert not torch.equal(with_own[0].neighbours, without[0].neighbours)
    assert torch.equal(with_own[0].neighbours[:, 2], without[0].neighbours[:, 2])  # image 99 is not in the bank
    assert same(with_own[0], without[0], "labels", "valid", "objects")
    assert torch.equal(with_own[1].terms["loss_cross_view"], without[1].terms["loss_cross_view"])


def test_criteria_change_only_which_neighbours_count():
    runs = {criterion: step(criterion=criterion) for criterion in ("none", "cycle", "labels")}
    every, cycle, labels = (runs[c][0] for c in ("none", "cycle", "labels"))
    assert torch.equal(every.accepted, every.valid.expand(2, -1, -1))
    for stricter in (cycle, labels):
        assert (stricter.accepted <= every.accepted).all() and 0 < stricter.accepted.sum() < every.accepted.sum()
        assert same(stricter, every, "labels", "valid", "objects", "neighbours")
    for name in ("loss_global", "loss_cross_view"):
        assert len({float(losses.terms[name]) for _, losses, *_ in runs.values()}) == 1


def test_the_label_criterion_accepts_neighbours_of_the_objects_own_classes():
    taught, _, bank, (teacher, *_) = step(criterion="labels")
    ids = classes()
    with torch.no_grad():
        for v in range(2):
            for b in range(B):
                for k in range(K):
                    mine = set(ids[b][(taught.labels[b] == k) & (ids[b] != VOID)].tolist())
                    entries = [(s, x) for s in range(bank.filled) for x in range(K) if bank.valid[s, x]]
                    target = taught.neighbours[v, b, k]
                    found = min(
                        entries,
                        key=lambda e: (teacher.bottleneck(bank.units[v][e] * bank.norms[v][e]) - target).norm(),
                    )
                    expected = bool(taught.valid[b, k]) and bool(mine) and members(bank.classes[found]) == mine
                    assert taught.accepted[v, b, k] == expected


def test_processes_that_share_a_batch_accept_by_labels_what_one_does():
    teacher, _, _, _, how = setting(criterion="labels")

    def accepted(world):
        share, bank = slice(world.rank * B // world.size, (world.rank + 1) * B // world.size), setting()[3]
        for images, *rest in (batch(1), batch()):
            mine = (images.unflatten(0, (2, B))[:, share].flatten(0, 1), *(x[share] for x in rest))
            taught = teacher_step(teacher, *mine, bank, True, how, world, classes()[share])
        return taught.accepted

    (whole,) = on_ranks(1, accepted)
    assert whole.any() and torch.equal(torch.cat(on_ranks(2, accepted), dim=1), whole)


def test_k_means_and_the_mask_oracle_replace_the_clusters_and_all_else_follows_from_those():
    images, _, seeds, _ = batch()
    taught, losses, _, (teacher, *_) = step(clustering=KMeansSettings(K, 4))
    with torch.no_grad():
        assert torch.equal(taught.labels, kmeans(teacher.tokens(images)[1], seeds, KMeansSettings(K, 4)))
    assert losses.total.isfinite()
    taught, losses, *_ = step(clustering=LabelSettings(K))
    ids = classes()
    assert torch.equal(taught.labels == K, ids == VOID) and torch.equal(taught.labels[ids != VOID], ids[ids != VOID].long())
    assert losses.total.isfinite() and taught.health["live_clusters"] <= K


def test_a_mask_that_is_void_all_over_gives_no_object_and_a_finite_loss():
    teacher, student, centres, bank, how = setting(clustering=LabelSettings(K), criterion="labels")
    nothing = torch.full((B, 2 * GRID**2), VOID, dtype=torch.uint8)
    for seed in (1, 0):
        inputs = batch(seed)
        taught = teacher_step(teacher, *inputs, bank, True, how, Alone(), nothing)
    losses = student_step(student, inputs[0], taught, centres, 0.05, how, Alone())
    losses.total.backward()
    assert not taught.valid.any() and not taught.accepted.any() and losses.total.isfinite()
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)


def test_a_centre_momentum_of_one_turns_centring_off():
    taught, _, _, (_, _, centres, how) = step()
    before = centres.objects.clone(), centres.images.clone()
    centres_step(taught, centres, dataclasses.replace(how, centre_momentum=1.0), Alone())
    assert torch.equal(centres.objects, before[0]) and torch.equal(centres.images, before[1])
    centres_step(taught, centres, how, Alone())
    assert not torch.equal(centres.objects, before[0]) and not torch.equal(centres.images, before[1])


def test_without_an_oracle_the_bank_knows_no_classes():
    *_, bank, _ = step()
    assert isinstance(bank, MemoryBank) and not bank.classes.any()


def test_neighbours_alone_give_every_layer_a_gradient_of_zero_while_they_are_off():
    """Processes add up their gradients and wait for each other's, so none may be missing."""
    for losses in ({"cross_image"}, {"global", "cross_image"}):
        teacher, student, centres, bank, how = setting(losses=frozenset(losses))
        inputs = batch()
        taught = teacher_step(teacher, *inputs, bank, False, how, Alone())
        found = student_step(student, inputs[0], taught, centres, 0.05, how, Alone())
        found.total.backward()
        assert taught.neighbours is None and found.terms["loss_cross_image"] == 0 and bank.pushed == B
        assert all(p.grad is not None for p in student.parameters() if p.requires_grad)
        assert not any(p.grad.any() for p in student.head.object_prototypes.parameters() if p.requires_grad)
