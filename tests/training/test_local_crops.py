"""Multi-crop on the engine: it acts, splits, is recomputed and foretold, and leaves everything else as it was."""

import pytest
import torch

from cribo import params, plan
from cribo.data.batches.loader import ViewPairs
from cribo.measure import measure
from cribo.params import merged
from cribo.training.course import Course
from cribo.training.flops import flops_per_image
from cribo.training.loop import step_batches, train
from cribo.training.memory import memory_estimate
from cribo.training.startup import opening
from cribo.training.state import initial_state
from cribo.training.update import advance
from tests.training.conftest import SMALL
from tests.training.runs import ALONE, finish, flat, made, result, same, start

LOCAL = {"count": 3, "size": 16, "crop_area": [0.05, 0.3], "blur": 0.5}


@pytest.fixture
def dino():
    """The plan of the demo's DINO with local crops, made small."""
    demo = params.load("recipes/demo.yaml")
    own = {key: SMALL[key] for key in ("views", "drop_path", "head", "optimisation")}
    overlay = {"dataset": "scenes", "losses": ["global"], **merged(own, {"drop_path": 0.2, "views": {"local": LOCAL}})}
    demo = demo.model_copy(update={"models": demo.models.model_copy(update={"trained": {"dino": overlay}})})
    return plan.pretrain_settings(demo.model("dino"))


def without(settings):
    return {**settings, "views": {key: value for key, value in settings["views"].items() if key != "local"}}


def test_without_local_crops_the_plan_does_not_speak_of_them(dino):
    assert dino["views"]["local"] == LOCAL
    plain = plan.plan(params.load("recipes/demo.yaml"))
    assert not any("local" in settings["views"] for name, settings in plain.items() if name.startswith("pretrain/"))


def test_the_two_views_are_the_same_with_local_crops_and_without(dino, photos):
    records = photos.splits["train"]
    some, none = (ViewPairs(records, views, 4, 2, 0) for views in (dino["views"], without(dino)["views"]))
    for key in ((0, 0), (3, 7)):
        a, b = some[key], none[key]
        assert a.crops.shape == (3, 3, 16, 16) and b.crops.shape[0] == 0
        assert all(torch.equal(x, y) for x, y in zip(a[:-1], b[:-1], strict=True))
        assert torch.equal(a.crops, some[key].crops) and not torch.equal(a.crops[0], a.crops[1])
    assert not torch.equal(some[0, 0].crops, some[1, 0].crops)


@pytest.mark.parametrize(
    "change", [{"count": 2}, {"size": 24}, {"crop_area": [0.3, 0.6]}, {"blur": 0.0}], ids=lambda change: next(iter(change))
)
def test_every_parameter_changes_the_weights(change, dino, photos, compute, tmp_path):
    records, ends = list(photos.splits["train"]), []
    for name, settings in {"a": dino, "b": merged(dino, {"views": {"local": change}})}.items():
        settings["optimisation"]["epochs"] = 1
        ends.append(train(settings, records, made(tmp_path / name), compute, ALONE).teacher.backbone.cls_token)
    assert not torch.equal(*ends)


def test_processes_parts_and_recomputation_give_the_same_training(tmp_path, dino, photos, compute):
    alone = {"alone": (dino, compute), "parts": (dino, compute.model_copy(update={"micro_batch": 3}))}
    finish(start(tmp_path, alone, photos, processes=1))
    finish(start(tmp_path, {"two": (dino, compute.model_copy(update={"recompute": True}))}, photos, processes=2))
    one = flat({key: result(tmp_path, "alone")[key] for key in ("student", "teacher", "centres")})
    for name in ("parts", "two"):
        other = result(tmp_path, name)
        for key, value in one.items():  # tolerances: tests/training/test_split.py
            torch.testing.assert_close(flat(other)[key], value, rtol=1e-4, atol=2e-4, msg=lambda m, key=key: f"{key}: {m}")


def test_recomputed_activations_give_the_same_bits_though_views_and_crops_draw_other_paths(dino, photos, compute):
    from cribo.training.acceleration import accelerate

    ends = []
    for recompute in (False, True):
        state, course = initial_state(dino, ALONE.device), Course.of(dino, 26, compute)
        accelerate(state.student, state.teacher, compute.model_copy(update={"recompute": recompute}))
        for batch in step_batches(dino, photos.splits["train"], 0, 4, ALONE, 0):
            advance(state, state.student, batch, course, ALONE)
        ends.append(state.to_dict())
    same(*ends)


def test_cost_and_memory_are_foretold(dino, compute):
    state = initial_state(dino, ALONE.device)
    assert "each with 3 local crops of 16 px" in opening(dino, 26, state, 1, "cpu")[0]
    assert "local" not in opening(without(dino), 26, state, 1, "cpu")[0]
    more = merged(dino, {"views": {"local": {"count": 6}}})
    each = (flops_per_image(dino) - flops_per_image(without(dino))) / 3
    assert flops_per_image(more) == pytest.approx(flops_per_image(dino) + 3 * each) and each > 0
    many = merged(dino, {"views": {"local": {"count": 40}}})
    estimates = [memory_estimate(s, state, 8, "cpu").activations for s in (without(dino), dino, many)]
    assert estimates[0] == estimates[1] < estimates[2]  # the passes of views and crops follow each other
    assert measure(dino, compute, ALONE.device, 4, steps=1).seconds > 0


@pytest.mark.parametrize(
    ("overlay", "says"),
    [
        ({"losses": ["global", "cross_view"]}, "go with losses: .global. alone"),
        ({"losses": ["pixels"]}, "go with losses: .global. alone"),
        (
            {"losses": ["global"], "views": {"local": {"size": 24}}, "backbone": "vit_mini_16"},
            "not a multiple of vit_mini",
        ),
    ],
)
def test_settings_that_cannot_be_are_a_sentence(overlay, says):
    from pathlib import Path

    import yaml

    tree = yaml.safe_load(Path("recipes/demo.yaml").read_text())
    tree["models"]["trained"]["global"] |= merged({"views": {"local": {"count": 2}}}, overlay)
    with pytest.raises(params.ParamsError, match=says):
        params.parse(yaml.safe_dump(tree), Path("params.yaml"))
