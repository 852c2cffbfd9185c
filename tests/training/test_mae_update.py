"""MAE on the engine: its loss at a step is MAE's, it learns, resumes, splits, and exports the network itself."""

import pytest
import torch
from safetensors.torch import load_file

from cribo import params, plan
from cribo.data.batches.loader import to_device
from cribo.method.mae import patch_pixels, random_masking, reconstruction_loss
from cribo.model.architectures import BACKBONES
from cribo.model.export import teacher_backbone
from cribo.model.networks.backbone import MEAN, STD
from cribo.training.course import Course
from cribo.training.flops import flops_per_image
from cribo.training.loop import step_batches, train
from cribo.training.mae_update import masking_noise
from cribo.training.run import pretrain
from cribo.training.startup import opening
from cribo.training.state import initial_state
from cribo.training.update import advance
from tests.training.runs import ALONE, same

SMALL = {
    "losses": ["pixels"],
    "views": {"size": 32},
    "mae": {"decoder": {"width": 16, "depth": 1, "heads": 2}},
    "optimisation": {"epochs": 3, "batch_size": 8, "warmup_epochs": 1, "base_lr": 0.05},
}


@pytest.fixture
def settings():
    demo = params.load("recipes/demo.yaml")
    trained = {"mae": {"dataset": "scenes", **SMALL}}
    demo = demo.model_copy(update={"models": demo.models.model_copy(update={"trained": trained})})
    return plan.pretrain_settings(demo.model("mae"))


def test_the_plan_of_mae_holds_what_mae_reads_and_no_more(settings):
    assert settings.keys() == {"seed", "backbone", "losses", "views", "mae", "optimisation", "dataset"}
    assert "ema" not in settings["optimisation"]


def test_a_step_takes_maes_loss_and_does_not_depend_on_its_parts(settings, photos, compute):
    gradients = []
    for micro_batch in (0, 3):
        state = initial_state(settings, ALONE.device)
        course = Course.of(settings, 26, compute.model_copy(update={"micro_batch": micro_batch}))
        batch = next(iter(step_batches(settings, photos.splits["train"], 0, 1, ALONE, 0)))
        assert batch.views.shape == (8, 1, 3, 32, 32)
        images = to_device(batch, ALONE.device, MEAN, STD).images
        masking = random_masking(masking_noise(settings["seed"], 0, 8, 16), 0.75)
        with torch.no_grad():
            expected = reconstruction_loss(state.student(images, masking), patch_pixels(images, 8), masking.masked, True)
        values = advance(state, state.student, batch, course, ALONE)
        torch.testing.assert_close(values["loss"], expected)
        decay = settings["optimisation"]["weight_decay"][0]
        assert [(g["lr"], g["weight_decay"]) for g in state.optimiser.param_groups] == [(0.0, decay), (0.0, 0.0)]
        gradients.append([state.optimiser.state[p]["exp_avg"] for p in state.student.parameters() if p.requires_grad])
    for whole, parts in zip(*gradients, strict=True):  # the first moment is a tenth of the gradient
        assert whole.any()
        torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-6)


def test_the_loss_falls(settings, photos, compute):
    settings["optimisation"] |= {"epochs": 60}
    state, course = initial_state(settings, ALONE.device), Course.of(settings, 26, compute)
    batches = step_batches(settings, photos.splits["train"], 0, 180, ALONE, 0)
    losses = [float(advance(state, state.student, batch, course, ALONE)["loss"]) for batch in batches]
    assert sum(losses[-20:]) < 0.92 * sum(losses[:20])


def test_a_resumed_run_ends_with_the_very_weights(settings, photos, compute, tmp_path):
    records = list(photos.splits["train"])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole = train(settings, records, tmp_path / "a", compute, ALONE).to_dict()
    state, course = initial_state(settings, ALONE.device), Course.of(settings, len(records), compute)
    for batch in step_batches(settings, records, 0, 4, ALONE, 0):
        advance(state, state.student, batch, course, ALONE)
    again = initial_state(settings, ALONE.device)
    again.restore(state.to_dict())
    for batch in step_batches(settings, records, 4, 9, ALONE, 0):
        advance(again, again.student, batch, course, ALONE)
    same(whole, again.to_dict())


def test_what_is_exported_is_the_trained_encoder(settings, photos, compute, tmp_path):
    pretrain("mae", settings, photos, tmp_path / "out", tmp_path / "runs", compute, ALONE)
    path = tmp_path / "out/checkpoint.safetensors"
    assert all(key.startswith("teacher.") for key in load_file(path))
    vit, spec, size = teacher_backbone(path)
    assert (spec, size) == (BACKBONES["vit_demo_8"], 32)
    drawn = initial_state(settings, ALONE.device).student.backbone
    assert torch.equal(vit.pos_embed, drawn.pos_embed) and not torch.equal(vit.norm.weight, drawn.norm.weight)


def test_its_cost_and_memory_are_foretold(settings):
    assert any(
        line.startswith("memory: about") for line in opening(settings, 26, initial_state(settings, ALONE.device), 1, "cpu")
    )
    more = params.merged(settings, {"mae": {"mask": 0.25}})
    assert 0 < flops_per_image(settings) < flops_per_image(more)


@pytest.mark.parametrize(
    ("overlay", "says"),
    [
        ({"losses": ["global", "pixels"]}, "stands alone"),
        ({"mae": {"mask": 0.99}}, "none is seen"),
        ({"mae": {"decoder": {"heads": 3}}}, "cannot be split over 3 heads"),
    ],
)
def test_settings_that_cannot_be_are_a_sentence(overlay, says):
    from pathlib import Path

    import yaml

    tree = yaml.safe_load(Path("recipes/demo.yaml").read_text())
    tree["models"]["trained"]["global"] |= params.merged(SMALL, overlay)
    with pytest.raises(params.ParamsError, match=says):
        params.parse(yaml.safe_dump(tree), Path("params.yaml"))
