"""A step keeps nothing, asks a GPU for nothing, and its switches leave the result alone."""

import gc
from itertools import product
from pathlib import Path

import pytest
import torch

from cribo.data.batches.loader import Batch
from cribo.method.lane import IN_ORDER, lane_of
from cribo.training import acceleration, update
from cribo.training.acceleration import accelerate, tensor_cores
from cribo.training.course import Course
from cribo.training.engine.distributed import World
from cribo.training.loop import step_batches
from cribo.training.state import initial_state
from cribo.training.update import advance
from tests.method.test_no_waiting import Noting
from tests.training.runs import ALONE, same


def prepared(settings, photos, compute, world=ALONE, bf16=False):
    """State and course, and batches for many steps."""
    settings["optimisation"] |= {"epochs": 100}
    records = photos.splits["train"]
    state, course = initial_state(settings, world.device, bf16), Course.of(settings, len(records), compute)
    return state, course, step_batches(settings, records, 0, 300, ALONE, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kernels", [False, True])
def test_a_step_on_a_gpu_synchronises_with_nothing(settings, photos, compute, kernels):
    world = World(0, 1, torch.device("cuda"))
    compute = compute.model_copy(update={"compile": kernels})
    state, course, batches = prepared(settings, photos, compute, world, bf16=kernels)
    accelerate(state.student, state.teacher, compute)
    for step, batch in enumerate(batches):
        batch = Batch(*(x.pin_memory() for x in batch))
        torch.cuda.set_sync_debug_mode("error" if step >= 4 else "default")
        try:
            advance(state, state.student, batch, course, world)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        if step == 8:
            break


def after(steps, settings, photos, compute, device="cuda"):
    """Loss and teacher after some steps of a training."""
    world = World(0, 1, torch.device(device))
    state, course, batches = prepared(settings, photos, compute, world)
    accelerate(state.student, state.teacher, compute)
    for _, batch in zip(range(steps), batches, strict=False):
        values = advance(state, state.student, batch, course, world)
    return values["loss"].item(), state.to_dict()["teacher"]


def same_but_for_rounding(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-4)
    for (name, a), b in zip(one[1].items(), other[1].values(), strict=True):
        if name.endswith("qkv.bias"):  # that of the keys has no gradient but rounding, of which Adam makes whole steps
            a, b = ((q, v) for q, _, v in (x.chunk(3) for x in (a, b)))
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_generated_kernels_leave_a_training_on_a_gpu_alone(settings, photos, compute):
    ends = []
    for kernels in (False, True):
        how = compute.model_copy(update={"compile": kernels})
        ends.append(after(4, settings, photos, how))
    same_but_for_rounding(*ends)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_teachers_lane_changes_no_number(settings, photos, compute, monkeypatch):
    ends = []
    for lane in (IN_ORDER, lane_of(torch.device("cuda"))):
        monkeypatch.setattr(update, "lane_of", lambda device, lane=lane: lane)
        ends.append(after(20, settings, photos, compute))
    same_but_for_rounding(*ends)


def test_the_teacher_works_in_the_lane_and_the_student_waits_for_it_before_its_objects(
    settings, photos, compute, monkeypatch
):
    order, teacher_step = [], update.teacher_step
    state, course, batches = prepared(settings, photos, compute)
    represent, tokens = state.student.represent, state.student.tokens
    monkeypatch.setattr(update, "lane_of", lambda device: Noting(order))
    monkeypatch.setattr(update, "teacher_step", lambda *args: order.append("teacher") or teacher_step(*args))
    state.student.tokens = lambda *args: order.append("student's pass") or tokens(*args)
    state.student.represent = lambda *args: order.append("student's objects") or represent(*args)
    advance(state, state.student, next(iter(batches)), course, ALONE)
    assert order == [
        "into the lane", "teacher", "out of it", "into the lane", "out of it", "student's pass", "wait for it",
        "student's objects",
    ]  # fmt: skip


def test_a_step_takes_its_moments_numbers_then_the_teacher_follows_and_frozen_prototypes_stay(settings, photos, compute):
    state, course, batches = prepared(settings, photos, compute)
    for step, batch in zip(range(4), batches, strict=False):
        now, before = course.schedule.at(step), [p.clone() for p in state.teacher.parameters()]
        prototypes = state.student.head.image_prototypes.direction.detach().clone()
        advance(state, state.student, batch, course, ALONE)
        groups = {(group["lr"], group["weight_decay"]) for group in state.optimiser.param_groups}
        assert groups == {(now.learning_rate, now.weight_decay), (now.learning_rate, 0.0)}
        for t, b, s in zip(state.teacher.parameters(), before, state.student.parameters(), strict=True):
            torch.testing.assert_close(t.detach(), now.ema * b + (1 - now.ema) * s.detach())
        assert torch.equal(state.student.head.image_prototypes.direction, prototypes) == (step < 3)  # one epoch
    assert any(not torch.equal(t, s) for t, s in zip(state.teacher.parameters(), state.student.parameters(), strict=True))


def test_memory_does_not_grow_over_200_steps(settings, photos, compute):
    state, course, batches = prepared(settings, photos, compute)
    seen = {}
    for step, batch in enumerate(batches, 1):
        advance(state, state.student, batch, course, ALONE)
        if step in (60, 260):
            gc.collect()
            tensors = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
            seen[step] = len(tensors), sum(x.numel() for x in tensors), resident()
            if step == 260:
                break
    more = [after - before for before, after in zip(seen[60], seen[260], strict=True)]
    assert more[0] < 50 and more[1] < 4 * batch.views.numel()  # a batch or two may be alive; one tensor a step would be 200
    assert more[2] < 16 * 2**20, more  # of the allocator's slack


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def compiled_without_code(monkeypatch):
    """torch.compile that traces and differentiates as it does, and runs the graphs as they are: no compiler, no minutes."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **kw: real(f, **{**kw, "backend": "aot_eager"}))
    module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kw: module(self, **{**kw, "backend": "aot_eager"}))


def test_compiled_networks_are_compiled_once_and_compute_the_same(settings, photos, compute, monkeypatch):
    settings["drop_path"] = 0.3
    ends = []
    compiled_without_code(monkeypatch)
    for compile in (False, True):
        how = compute.model_copy(update={"compile": compile})
        state, course, batches = prepared(settings, photos, how)
        accelerate(state.student, state.teacher, how)
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        for step, batch in enumerate(batches, 1):
            with torch._dynamo.config.patch(error_on_recompile=step > 1):
                advance(state, state.student, batch, course, ALONE)
            if step == 6:
                break
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert (graphs > 0) == compile
        ends.append(state.to_dict())
    for a, b in zip(ends[0]["teacher"].values(), ends[1]["teacher"].values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert ends[0]["student"].keys() == ends[1]["student"].keys()


@pytest.mark.parametrize(("there", "found", "missing"), [(None, "/bin/gcc", "Triton"), (True, None, "a C compiler")])
def test_generated_kernels_are_refused_in_a_sentence_where_their_tools_are_missing(monkeypatch, there, found, missing):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(acceleration, "find_spec", lambda _: there)
    monkeypatch.setattr(acceleration, "which", lambda _: found)
    with pytest.raises(ValueError, match=rf"compute\.compile needs {missing}.*set compute\.compile to false"):
        acceleration._check_generators()


def test_recomputed_activations_give_the_same_bits_with_drop_path(settings, photos, compute):
    settings["drop_path"] = 0.3
    ends = []
    for recompute in (False, True):
        how = compute.model_copy(update={"recompute": recompute, "micro_batch": 4})
        state, course, batches = prepared(settings, photos, how)
        accelerate(state.student, state.teacher, how)
        assert state.student.backbone.grad_checkpointing == recompute
        for step, batch in enumerate(batches, 1):
            advance(state, state.student, batch, course, ALONE)
            if step == 5:
                break
        ends.append(state.to_dict())
    same(*ends)


def test_tensor_cores_serve_the_student_alone_whatever_the_state_outside(settings, photos, compute, monkeypatch):
    seen = {}
    for name in ("teacher_step", "student_step"):
        real = getattr(update, name)

        def noting(*args, name=name, real=real):
            seen[name] = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
            return real(*args)

        monkeypatch.setattr(update, name, noting)
    for tf32, outside in product((False, True), repeat=2):
        state, course, batches = prepared(settings, photos, compute.model_copy(update={"tf32": tf32}))
        with tensor_cores(outside):
            advance(state, state.student, next(iter(batches)), course, ALONE)
        assert seen == {"teacher_step": (False, False), "student_step": (tf32, tf32)}
