"""Presets: paper, released code and ours, set together, overridden key by key, never silently."""

import re
from pathlib import Path

import pytest

from cribo import fidelity, params, plan
from stages import plan as stage
from tests.edits import DEMO, edited

# The demo in batches of 32, with every parameter that a preset decides left to it.
FOLLOWING = edited("pretrain.optimisation.batch_size", "32", edited("pretrain.matching.first_epoch", "fidelity"))
BY_KEY = {choice.key: choice for choice in fidelity.CHOICES}


def parse(text):
    return params.parse(text, Path("params.yaml"))


def planned(text, model="cribo"):
    return plan.plan(parse(text))[f"pretrain/{model}"]


def at(settings, key):
    group, name = key.split(".")
    return settings[group][name]


@pytest.mark.parametrize("preset", ["paper", "released", "ours"])
def test_a_preset_sets_all_its_parameters_together(preset):
    settings = planned(edited("pretrain.fidelity", preset, FOLLOWING))
    as_written = settings | {"backbone": settings["backbone"]["name"]}
    for choice in fidelity.CHOICES:
        assert at(settings, choice.key) == choice.value(preset, as_written), choice.key


def test_what_each_preset_stands_for():
    values = {
        preset: [at(planned(edited("pretrain.fidelity", preset, FOLLOWING)), key) for key in BY_KEY]
        for preset in ("paper", "released", "ours")
    }
    assert values == {  # D1, D2, D3, D5, D6, D7, D9, D10, for a batch of 32
        "paper": ["uniform", False, 1, "raw", "sum", 1, 0, 32],
        "released": ["histogram", True, 4, "unit", "mean", 4, 1, 4],
        "ours": ["histogram", True, 32, "unit", "mean", 32, 1, 32],
    }


def test_the_presets_differ_only_in_the_parameters_of_the_table():
    papers, ours = (planned(edited("pretrain.fidelity", preset, FOLLOWING)) for preset in ("paper", "ours"))
    different = {
        f"{group}.{key}"
        for group, values in ours.items()
        if isinstance(values, dict)
        for key in values
        if papers[group][key] != values[key]
    }
    assert different <= set(BY_KEY) and len(different) == 7  # the pool is the whole batch of 32 for both


@pytest.mark.parametrize(
    ("batch", "backbone", "images"), [(256, "vit_small_16", 32), (1024, "vit_small_16", 128), (1024, "vit_base_16", 64)]
)
def test_groups_of_the_released_runs_are_the_images_of_one_gpu(batch, backbone, images):
    settings = {"optimisation": {"batch_size": batch}, "backbone": backbone}
    for key in ("clustering.normalise_images", "matching.pool_images"):
        assert BY_KEY[key].value("released", settings) == BY_KEY[key].value("ours", settings) == images
    assert BY_KEY["targets.mean_images"].value("released", settings) == images


@pytest.mark.parametrize("batch", [2, 6, 7, 30, 32, 48, 96, 100, 320])
def test_groups_of_any_batch_divide_it(batch):
    settings = {"optimisation": {"batch_size": batch}, "backbone": "vit_demo_8"}
    for choice in fidelity.CHOICES:
        for preset in ("paper", "released", "ours"):
            if choice.key.endswith("_images"):
                assert batch % choice.value(preset, settings) == 0


@pytest.mark.parametrize(
    ("batch", "released", "ours"), [(100, 10, 25), (30, 3, 30), (7, 1, 7), (96, 12, 32), (320, 40, 40), (33, 3, 11)]
)
def test_groups_of_a_batch_are_the_largest_that_a_gpu_would_have_had_and_ours_not_of_a_handful(batch, released, ours):
    settings = {"optimisation": {"batch_size": batch}, "backbone": "vit_demo_8"}
    assert [BY_KEY["matching.pool_images"].value(which, settings) for which in ("released", "ours")] == [released, ours]


def test_a_single_key_overrides_the_preset_and_plan_says_so(tmp_path, monkeypatch, capsys):
    text = edited("pretrain.clustering.marginals", "histogram", edited("pretrain.fidelity", "paper", FOLLOWING))
    assert planned(text)["clustering"]["marginals"] == "histogram"
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    stage.main()
    said = capsys.readouterr().out.splitlines()
    assert "cribo: clustering.marginals is histogram and overrides fidelity paper, which says uniform" in said
    assert {line.partition(":")[0] for line in said} == {"cross_view", "cribo"}  # `global` has no clusters


def test_a_model_may_follow_another_preset_and_still_override_it():
    row = "{dataset: scenes, fidelity: paper, clustering: {exclude_self: true}}"
    text = edited("models.trained.cribo", row, FOLLOWING)
    settings = planned(text)
    assert settings["clustering"]["marginals"] == "uniform" and settings["clustering"]["exclude_self"] is True
    assert planned(text, "cross_view") == planned(FOLLOWING, "cross_view")


def test_a_preset_follows_the_batch_of_the_model():
    settings = planned(edited("models.trained.cribo", "{dataset: scenes, optimisation: {batch_size: 64}}", FOLLOWING))
    assert settings["targets"]["mean_images"] == 64


def test_no_plan_holds_the_word():
    for settings in plan.plan(parse(FOLLOWING)).values():
        assert fidelity.WORD not in str(settings)


def test_a_mistyped_word_is_one_sentence():
    with pytest.raises(params.ParamsError, match=r"marginals: 'fidelty' is not allowed .*; did you mean fidelity\?") as e:
        parse(edited("pretrain.clustering.marginals", "fidelty"))
    assert len(str(e.value).splitlines()) == 1
    with pytest.raises(params.ParamsError, match=r"pretrain\.fidelity: 'papers' is not allowed .*; did you mean paper"):
        parse(edited("pretrain.fidelity", "papers"))


def test_departures_in_force_name_both_other_values():
    ours = planned(edited("pretrain.clustering.marginals", "uniform", FOLLOWING))
    said = {d.key: str(d) for d in fidelity.in_force(ours)}
    assert said["clustering.marginals"] == "D1 clustering.marginals: uniform (released code histogram)"
    assert said["clustering.exclude_self"] == "D2 clustering.exclude_self: true (paper false)"
    assert said["targets.mean_images"] == "D7 targets.mean_images: 32 (paper 1, released code 4)"


def test_what_a_model_does_not_read_departs_from_nothing():
    row = "{dataset: scenes, losses: [cross_view], clustering: {algorithm: kmeans}}"
    keys = {d.key for d in fidelity.in_force(planned(edited("models.trained.cribo", row)))}
    assert keys == {"targets.directions", "targets.mean_images"}


def test_the_document_has_every_discrepancy_and_every_parameter():
    text = Path("docs/method.md").read_text()
    rows = re.findall(r"^\| D(\d+) ", text, re.M)
    assert rows == [str(n) for n in range(1, 19)]
    for choice in fidelity.CHOICES:
        row = next(line for line in text.splitlines() if line.startswith(f"| {choice.number} "))
        assert f"`{choice.key}`" in row, choice.key


def test_every_key_of_a_preset_is_written_out_in_params_yaml():
    for key in BY_KEY:
        assert f"{key.split('.')[1]}: " in DEMO
