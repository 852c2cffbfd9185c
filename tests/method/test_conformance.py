"""Ten checks that an implementation of CrIBo conforms with what the released code was found to do, each by its number."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from cribo import params, recipe
from cribo.data.batches.positions import patch_positions
from cribo.method.clustering import joint_space_clustering, nearest_tokens, pairwise_distance, positional_cost
from cribo.method.matching import accept
from cribo.method.memory_bank import MemoryBank, push, retrieve
from cribo.method.objects import pool_objects, seen_in_both
from cribo.method.step import Centres, centres_step
from cribo.method.student import student_step
from cribo.method.teacher import teacher_step
from tests.data.batches.test_positions import by_map
from tests.method import test_step
from tests.method.ranks import on_ranks
from tests.method.test_clustering import batch, how, slow_labels
from tests.method.test_step import Alone, B, K, setting

EXACT = [torch.float32, torch.float64]


def test_1_patch_positions_in_closed_form_are_those_of_a_transformed_map_within_two_hundredths_of_a_pixel():
    g = torch.Generator().manual_seed(0)
    for grid in (7, 14):
        for _ in range(5):
            width, height = torch.randint(60, 300, (2,), generator=g).tolist()
            left, top = (
                int(torch.randint(401 - width, (1,), generator=g)),
                int(torch.randint(301 - height, (1,), generator=g)),
            )
            box = (left, top, width, height, int(torch.rand(1, generator=g) < 0.5))
            ours = patch_positions(torch.tensor([[box, box]], dtype=torch.float32), grid)[0, : grid**2]
            assert (ours - by_map(*box, 224, grid)).abs().max() <= 0.02


@pytest.mark.parametrize("dtype", EXACT)
def test_2_without_positional_weight_clustering_is_semantic_sinkhorn_whatever_a_token_sees_of_itself(dtype):
    tokens, positions, seeds = (x.to(dtype) if x.is_floating_point() else x for x in batch(K=8))
    z, labels = F.normalize(tokens, dim=-1), []
    mu, marginal = [z[b][seeds[b]] for b in range(2)], [torch.full((8,), 1 / 8, dtype=dtype) for _ in range(2)]
    for _ in range(5):
        cost = [-z[b] @ mu[b].T for b in range(2)]
        low, high = min(c.min() for c in cost), max(c.max() for c in cost)
        labels = []
        for b in range(2):
            plan = torch.exp(-20 * (cost[b] - low) / (high - low))
            for _ in range(5):
                plan = plan / plan.sum(1, keepdim=True) / len(plan)
                plan = plan / plan.sum(0) * marginal[b]
            labels.append(plan.argmax(1))
            count = torch.bincount(labels[b], minlength=8) + 0.01
            marginal[b] = (count / count.sum()).to(dtype)
            mu[b] = F.normalize(F.one_hot(labels[b], 8).to(dtype).T @ z[b], dim=-1)
    for exclude_self in (True, False):
        s = how(K=8, lambda_pos=0.0, exclude_self=exclude_self)
        same = joint_space_clustering(tokens, positions, seeds, s) == torch.stack(labels)
        assert same.all() if dtype == torch.float64 else same.float().mean() > 0.99


def test_3_the_released_marginals_lose_clusters_and_uniform_ones_never_do():
    tokens, positions, seeds = batch(images=4, grid=14, width=64, K=64)
    for marginals in ("histogram", "uniform"):
        labels = joint_space_clustering(tokens, positions, seeds, how(K=64, marginals=marginals))
        live = [row.unique().numel() for row in labels]
        assert max(live) < 64 if marginals == "histogram" else min(live) == 64


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize(("clusters", "weight"), [(64, 2.0), (32, 1.0), (12, 1.0), (8, 4.0), (64, 0.0)])
def test_4_scatter_amin_clustering_equals_the_dense_form_label_for_label(clusters, weight, dtype):
    inputs = batch(images=2, grid=7, K=clusters)
    tokens, positions, seeds = (x.to(dtype) if x.is_floating_point() else x for x in inputs)
    s = how(K=clusters, lambda_pos=weight)
    labels = joint_space_clustering(tokens, positions, seeds, s)
    same = labels == slow_labels(tokens, positions, seeds, s)
    assert same.all() if dtype == torch.float64 else same.float().mean() > 0.97
    if dtype == torch.float32:
        return
    distance = pairwise_distance(positions, True)
    dense = torch.where((labels[:, None, :, None] == torch.arange(clusters)), distance[..., None], torch.inf).amin(2)
    dense[dense.isinf()] = 0
    dense = torch.where(dense == 0, dense.mean((1, 2), keepdim=True), dense)
    ours = positional_cost(nearest_tokens(distance, labels, clusters))
    torch.testing.assert_close(ours, dense / dense.amax((1, 2), keepdim=True))


def test_5_the_bank_is_a_list_of_the_last_images_and_retrieval_sees_it_as_it_was_before_the_step():
    teacher, _, _, bank, s = setting(criterion="none")
    kept = []  # (objects of both views [2, K, d], valid [K]) of every image ever
    for seed in range(5):
        inputs = test_step.batch(seed)
        taught = teacher_step(teacher, *inputs, bank, True, s, Alone())
        with torch.no_grad():
            objects = pool_objects(teacher.tokens(inputs[0])[1], taught.labels, K)
            for v, b, k in taught.accepted.nonzero().tolist():
                known = [(o, x) for o, live in kept[-8:] for x in range(K) if live[x]]
                o, x = max(known, key=lambda e: torch.cosine_similarity(objects[v, b, k], e[0][v, e[1]], dim=0))
                torch.testing.assert_close(taught.neighbours[v, b, k], teacher.bottleneck(o[v, x]))
        assert taught.accepted.any() == (seed > 0)
        kept += [(objects[:, b], taught.valid[b]) for b in range(B)]
    stored = {int(i): slot for slot, i in enumerate(bank.image_ids)}
    assert len(stored) == 8
    for (o, live), image_id in zip(kept[-8:], [30, 31, 32, 33, 40, 41, 42, 43], strict=True):
        slot = stored[image_id]
        torch.testing.assert_close(bank.units[:, slot] * bank.norms[:, slot, :, None], o)
        assert torch.equal(bank.valid[slot], live)


def test_6_objects_that_find_themselves_are_all_accepted_and_noise_is_rarely():
    g = torch.Generator().manual_seed(0)
    objects = torch.randn(1, 16, 8, 32, generator=g).expand(2, -1, -1, -1)
    everything = torch.ones(16, 8, dtype=torch.bool)
    for stored, enough in ((objects, lambda r: r == 1), (torch.rand(2, 16, 8, 32, generator=g), lambda r: r < 0.1)):
        bank = MemoryBank.empty(16, 8, 32)
        push(bank, stored, everything, torch.arange(16))
        found = retrieve(bank, objects, everything)
        assert enough(accept(objects, everything, found.partners, found.found, "cycle", 16).float().mean())


def test_7_the_students_temperature_is_a_tenth_in_every_experiment():
    for name in recipe.names():
        experiment = params.parse(recipe.text_of(name), Path(name))
        assert {model.targets.student_temperature for model in experiment.trained.values()} == {0.1}
    teacher, student, centres, bank, s = setting(["global"])
    images, taught = test_step.batch()[0], teacher_step(teacher, *test_step.batch(), bank, False, s, Alone())
    with torch.no_grad():
        logits = student.bottleneck(student.tokens(images)[0].flatten(0, 1)) @ _matrix(student.head.image_prototypes).T
        targets = (taught.images.flatten(0, 1) @ _matrix(teacher.head.image_prototypes).T - centres.images) / 0.05
        expected = -(targets.softmax(-1).unflatten(0, (2, B)).flip(0).flatten(0, 1) * (logits / 0.1).log_softmax(-1)).sum(-1)
    ours = student_step(student, images, taught, centres, 0.05, s, Alone()).total
    torch.testing.assert_close(ours.detach(), expected.mean())


def _matrix(prototypes):
    """The prototype layer's L×h matrix, from its parameters."""
    return prototypes.gain.detach() * F.normalize(prototypes.direction.detach(), dim=1)


def test_8_with_equal_networks_and_centre_zero_loss_and_gradients_are_dinos_for_two_crops():
    teacher, student, _, bank, s = setting(["global"])
    student.load_state_dict(teacher.state_dict())
    zero = Centres(torch.zeros(11), torch.zeros(11))
    images = test_step.batch()[0]
    ours = student_step(
        student, images, teacher_step(teacher, *test_step.batch(), bank, False, s, Alone()), zero, 0.05, s, Alone()
    )
    ours.total.backward()
    gradients = {name: p.grad.clone() for name, p in student.named_parameters() if p.requires_grad}
    student.zero_grad()
    head = student.head.image_prototypes
    one, two = (
        student.bottleneck(student.tokens(images)[0].flatten(0, 1)) @ (head.gain * F.normalize(head.direction, dim=1)).T
    ).chunk(2)
    dino = sum(
        -(F.softmax(a.detach() / 0.05, -1) * F.log_softmax(b / 0.1, -1)).sum(-1).mean() for a, b in ((one, two), (two, one))
    )
    (dino / 2).backward()
    torch.testing.assert_close(ours.total.detach(), dino.detach() / 2)
    for name, p in student.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(gradients[name], p.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_9_an_object_in_one_view_only_is_in_no_loss_no_centre_and_is_never_retrieved():
    teacher, student, centres, bank, s = setting(criterion="none")
    teacher_step(teacher, *test_step.batch(1), bank, True, s, Alone())
    inputs = test_step.batch()
    taught = teacher_step(teacher, *inputs, bank, True, s, Alone())
    n = inputs[1].shape[1] // 2
    moved = taught.labels.clone()
    moved[:, :n][moved[:, :n] == 1] = 0  # cluster 1 is now in view 2 only
    assert seen_in_both(taught.labels, K)[:, 1].any() and not seen_in_both(moved, K)[:, 1].any()

    def outcome(spoil):
        valid = seen_in_both(moved, K)
        objects = taught.objects.clone()
        objects[:, :, 1] += spoil
        neighbours = taught.neighbours.clone()
        neighbours[:, :, 1] += spoil
        accepted = taught.accepted & valid
        spoiled = dataclasses.replace(
            taught, labels=moved, valid=valid, objects=objects, neighbours=neighbours, accepted=accepted
        )
        moving = Centres(centres.images.clone(), centres.objects.clone())
        loss = student_step(student, inputs[0], spoiled, moving, 0.05, s, Alone()).total
        centres_step(spoiled, moving, s, Alone())
        ring = MemoryBank.empty(B, K, objects.shape[-1])
        push(ring, objects, valid, inputs[3])
        queries = torch.randn(2, 3, K, objects.shape[-1], generator=torch.Generator().manual_seed(0))
        answers = retrieve(ring, queries, torch.ones(3, K, dtype=torch.bool))
        return loss.detach(), moving.objects, answers.objects

    for clean, spoiled in zip(outcome(0.0), outcome(9.0), strict=True):
        assert torch.equal(clean, spoiled)


@pytest.mark.parametrize(("pool", "mean"), [(1, 1), (2, 2), (2, 4), (4, 2), (4, 4)])
def test_10_processes_that_share_a_batch_accept_and_lose_what_one_does_with_groups_of_images(pool, mean):
    teacher, student, centres, bank, s = setting(pool_images=pool, mean_images=mean)
    s = dataclasses.replace(s, clustering=dataclasses.replace(s.clustering, normalise_images=1))
    teacher_step(teacher, *test_step.batch(1), bank, True, s, Alone())
    images, *rest = test_step.batch()

    def step(world):
        share = slice(world.rank * B // world.size, (world.rank + 1) * B // world.size)
        mine = (images.unflatten(0, (2, B))[:, share].flatten(0, 1), *(x[share] for x in rest))
        own = MemoryBank(**{k: v.clone() if torch.is_tensor(v) else v for k, v in vars(bank).items()})
        taught = teacher_step(teacher, *mine, own, True, s, world)
        return taught.accepted, student_step(student, mine[0], taught, centres, 0.05, s, world).total.detach(), own

    (accepted, loss, filled), *_ = on_ranks(1, step)
    halves = on_ranks(2, step)
    assert accepted.any() and not accepted.all()
    assert torch.equal(torch.cat([half[0] for half in halves], dim=1), accepted)
    torch.testing.assert_close(sum(half[1] for half in halves) / 2, loss)
    for _, _, own in halves:
        assert torch.equal(own.valid, filled.valid) and torch.equal(own.image_ids, filled.image_ids)
        torch.testing.assert_close(own.units, filled.units)
