"""The whole step against the paper's three losses written out object by object."""

import pytest
import torch
from torch.nn import functional as F

from cribo.method.clustering import ClusteringSettings
from cribo.method.memory_bank import MemoryBank
from cribo.method.step import Centres, StepSettings, centres_step
from cribo.method.student import student_step
from cribo.method.teacher import teacher_step
from cribo.model.networks.backbone import tokens
from cribo.model.networks.head import Head
from cribo.model.networks.network import Network
from tests.tiny import tiny_vit

B, K, GRID = 4, 3, 4


class Alone:
    rank, size = 0, 1

    def sum(self, x):
        return x

    def gather(self, x, dim):
        return x


def setting(losses=("global", "cross_view", "cross_image"), **changes):
    clustering = ClusteringSettings(K, 1.0, 20.0, 3, 3, "uniform", True, "unit", 2)
    objects = bool({"cross_view", "cross_image"} & set(losses))
    how = StepSettings(
        **{
            "losses": frozenset(losses),
            "clustering": clustering if objects else None,
            "criterion": "cycle",
            "pool_images": 2,
            "student_temperature": 0.1,
            "centre_momentum": 0.9,
            "exclude_same_image": False,
            "directions": "mean",
            "mean_images": B,
            **changes,
        }
    )
    torch.manual_seed(0)
    networks = [
        Network(tiny_vit(GRID), Head(16, 8, 6, 11, True, images="global" in losses, objects=objects)) for _ in range(2)
    ]
    bank = MemoryBank.empty(8, K, 16) if "cross_image" in losses else None
    return *networks, Centres(torch.randn(11), torch.randn(11)), bank, how


def batch(seed=0):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(2 * B, 3, 8 * GRID, 8 * GRID, generator=g)
    positions = torch.rand(B, 2 * GRID**2, 2, generator=g) * 100
    seeds = torch.stack([torch.randperm(2 * GRID**2, generator=g)[:K] for _ in range(B)])
    return images, positions, seeds, torch.arange(B) + 10 * seed


def run(teacher, student, centres, bank, how, cross_image=True, seed=0):
    inputs = batch(seed)
    teaching = teacher_step(teacher, *inputs, bank, cross_image, how, Alone())
    return teaching, student_step(student, inputs[0], teaching, centres, 0.05, how, Alone()), inputs


def entropy(teacher_bottleneck, teacher_w, centre, student_bottleneck, student_w):
    q = F.softmax((teacher_w @ teacher_bottleneck - centre) / 0.05, dim=-1)
    return -(q * F.log_softmax(student_w @ student_bottleneck / 0.1, dim=-1)).sum()


def test_the_three_losses_are_those_of_the_paper_written_out():
    teacher, student, centres, bank, how = setting()
    run(teacher, student, centres, bank, how, seed=1)  # fills the bank with another batch
    before = [bank.units.clone() * bank.norms[..., None], bank.valid.clone()]
    teaching, losses, (images, *_) = run(teacher, student, centres, bank, how)

    with torch.no_grad():
        cls_t, tok_t = (x.unflatten(0, (2, B)) for x in tokens(teacher.backbone, images))
        cls_s, tok_s = (x.unflatten(0, (2, B)) for x in tokens(student.backbone, images))
        wi_t, wo_t = teacher.head.image_prototypes().matrix(), teacher.head.object_prototypes().matrix()
        wi_s, wo_s = student.head.image_prototypes().matrix(), student.head.object_prototypes().matrix()
        n = GRID**2
        label = [teaching.labels[:, :n], teaching.labels[:, n:]]

        def obj(tok, view, b, k):
            return tok[view, b][label[view][b] == k].mean(0)

        images_loss = sum(
            entropy(teacher.head(cls_t[v, b]), wi_t, centres.images, student.head(cls_s[1 - v, b]), wi_s)
            for v in range(2)
            for b in range(B)
        ) / (2 * B)
        valid = [(b, k) for b in range(B) for k in range(K) if all((label[v][b] == k).any() for v in range(2))]
        view_loss = sum(
            entropy(teacher.head(obj(tok_t, v, b, k)), wo_t, centres.objects, student.head(obj(tok_s, 1 - v, b, k)), wo_s)
            for v in range(2)
            for b, k in valid
        ) / (2 * len(valid))
        image_loss = 0
        for v in range(2):
            found = []
            for b, k in valid:

                def score(i, j, v=v, b=b, k=k):
                    return torch.cosine_similarity(obj(tok_t, v, b, k), before[0][v, i, j], dim=0)

                entries = [(i, j) for i in range(B) for j in range(K) if before[1][i, j]]
                i, j = max(entries, key=lambda e: score(*e))
                partner = before[0][1 - v, i, j]
                pool = [(x, y) for x, y in valid if x // 2 == b // 2]
                home = max(pool, key=lambda e: torch.cosine_similarity(partner, obj(tok_t, 1 - v, *e), dim=0))
                if home == (b, k):
                    found.append(
                        entropy(
                            teacher.head(before[0][v, i, j]),
                            wo_t,
                            centres.objects,
                            student.head(obj(tok_s, 1 - v, b, k)),
                            wo_s,
                        )
                    )
            assert len(found) == teaching.accepted[v].sum()
            image_loss += sum(found) / max(1, len(found)) / 2
    assert 0 < teaching.accepted.sum() < 2 * len(valid)
    torch.testing.assert_close(losses.terms["loss_global"], images_loss)
    torch.testing.assert_close(losses.terms["loss_cross_view"], view_loss)
    torch.testing.assert_close(losses.terms["loss_cross_image"], torch.as_tensor(image_loss))
    torch.testing.assert_close(losses.total.detach(), images_loss + view_loss + image_loss)


def test_with_equal_networks_and_zero_centre_the_global_loss_is_dinos_for_two_crops():
    teacher, student, _, bank, how = setting(["global"])
    student.load_state_dict(teacher.state_dict())
    _, losses, (images, *_) = run(teacher, student, Centres(torch.zeros(11), torch.zeros(11)), bank, how)
    with torch.no_grad():
        logits = teacher.head(tokens(teacher.backbone, images)[0]) @ teacher.head.image_prototypes().matrix().T
        one, two = logits.chunk(2)
        dino = (
            sum(-(F.softmax(a / 0.05, -1) * F.log_softmax(b / 0.1, -1)).sum(-1).mean() for a, b in ((one, two), (two, one)))
            / 2
        )
    torch.testing.assert_close(losses.total.detach(), dino)


@pytest.mark.parametrize(
    "losses", [["global"], ["cross_view"], ["cross_image"], ["global", "cross_view"], ["cross_view", "cross_image"]]
)
def test_each_loss_can_stand_alone_and_every_student_weight_gets_a_gradient(losses):
    teacher, student, centres, bank, how = setting(losses)
    run(teacher, student, centres, bank, how, seed=1)
    _, result, _ = run(teacher, student, centres, bank, how)
    assert {name for name in result.terms if name.startswith("loss")} == {f"loss_{name}" for name in losses}
    result.total.backward()
    assert all(p.grad is not None for p in student.parameters() if p.requires_grad)


def test_while_the_cross_image_loss_is_off_the_bank_fills_and_nothing_is_retrieved():
    teacher, student, centres, bank, how = setting()
    teaching, losses, _ = run(teacher, student, centres, bank, how, cross_image=False)
    assert teaching.accepted is None and "loss_cross_image" not in losses.terms
    assert bank.filled == B


def test_a_query_never_meets_its_own_batch_in_the_bank():
    teacher, student, centres, bank, how = setting()
    teaching, *_ = run(teacher, student, centres, bank, how)
    assert not teaching.accepted.any()  # the bank was empty before this batch


def test_objects_of_one_view_only_reach_no_loss_and_no_centre():
    teacher, student, centres, bank, how = setting(["cross_view"])
    teaching, _, (images, *_) = run(teacher, student, centres, bank, how)
    teaching.valid[0, 1] = teaching.valid[2, 0] = False
    before = student_step(student, images, teaching, centres, 0.05, how, Alone())
    teaching.objects[:, ~teaching.valid] = 1e6
    spoiled = student_step(student, images, teaching, centres, 0.05, how, Alone())
    start = centres.objects.clone()
    centres_step(teaching, centres, how, Alone())
    rows = teaching.objects[:, teaching.valid].flatten(0, 1) @ teaching.object_prototypes.matrix().T
    torch.testing.assert_close(centres.objects, 0.9 * start + 0.1 * rows.mean(0))
    assert torch.equal(spoiled.total, before.total)


@pytest.mark.parametrize("directions", ["mean", "sum"])
def test_entropies_are_means_over_the_teachers_rows_and_those_of_the_centres(directions):
    teacher, student, centres, bank, how = setting(directions=directions, local_crops=3)
    centres = Centres(0.1 * centres.images, 0.1 * centres.objects)  # else the teacher is nearly certain
    teaching, losses, _ = run(teacher, student, centres, bank, how)
    rows = {"images": teaching.images.flatten(0, 1), "objects": teaching.objects[:, teaching.valid].flatten(0, 1)}
    for name, prototypes in (("images", teaching.image_prototypes), ("objects", teaching.object_prototypes)):
        centre = getattr(centres, name)
        q = ((rows[name] @ prototypes.matrix().T - centre) / 0.05).softmax(dim=1)
        torch.testing.assert_close(losses.terms[f"entropy_{name}"], torch.special.entr(q).sum(dim=1).mean())
        expected = torch.special.entr((centre / 0.05).softmax(dim=0)).sum()
        torch.testing.assert_close(losses.terms[f"centre_entropy_{name}"], expected)


def test_the_centre_of_images_moves_to_their_mean_logits():
    teacher, student, centres, bank, how = setting(["global"])
    teaching, *_ = run(teacher, student, centres, bank, how)
    start = centres.images.clone()
    centres_step(teaching, centres, how, Alone())
    rows = teaching.images.flatten(0, 1) @ teaching.image_prototypes.matrix().T
    torch.testing.assert_close(centres.images, 0.9 * start + 0.1 * rows.mean(0))


def test_no_valid_object_at_all_gives_a_finite_loss_and_leaves_the_object_centre_alone():
    teacher, student, centres, bank, how = setting(["global", "cross_view"])
    teaching, _, (images, *_) = run(teacher, student, centres, bank, how)
    teaching.valid[:] = False
    start = centres.objects.clone()
    losses = student_step(student, images, teaching, centres, 0.05, how, Alone())
    centres_step(teaching, centres, how, Alone())
    assert losses.total.isfinite() and losses.terms["loss_cross_view"] == 0
    assert torch.equal(centres.objects, start)
