"""Below a table stands how its models were trained otherwise than the paper's; the recipes of the paper are, in nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cribo import params, plan, recipe
from cribo.fidelity import CHOICES
from cribo.params.types import flat
from cribo.report.paper.settings import of_training
from cribo.report.tables.counterparts import model_of
from cribo.report.tables.training_notes import photos_notes, training_notes

# By these a model is chosen to stand beside a value of the paper (`is_counterpart`), but for the seed.
COMPARED = {"dataset", "optimisation.epochs", "losses", "clustering.algorithm", "clustering.K", "clustering.lambda_pos"}
COMPARED |= {"memory_bank.images", "matching.criterion", "seed"}
RECIPES = [name for name in recipe.names() if name == "table1" or name.startswith("paper")]


def setups(name: str) -> dict[str, dict]:
    """The models that a recipe trains, in the paper's words."""
    planned = plan.plan(params.parse(recipe.text_of(name), Path(name)))
    settings = {key.removeprefix("pretrain/"): own for key, own in planned.items() if key.startswith("pretrain/")}
    rows = planned["report"]["models"]
    return {model: model_of(rows[model], own) for model, own in settings.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_of_the_paper_train_as_is_said_of_it(name):
    models = setups(name)
    assert models and training_notes(models, models) == ()


def test_every_setting_that_is_said_of_the_paper_is_one_of_its_recipes_with_that_value():
    for name in ("paper-vits16-coco", "paper-vits16-in1k", "paper-vitb16-in1k", "paper-vits8-coco"):
        model = setups(name)["cribo"]
        own = flat(model["settings"])
        said = of_training(model["backbone"], model["pretrain_dataset"])
        assert {key: own[key] for key in said} == {key: value for key, (value, _) in said.items()} and len(said) > 30


def test_of_every_parameter_that_cribo_reads_the_tables_know_what_the_paper_had():
    model = setups("paper-vits16-coco")["cribo"]
    own = {key for key in flat(model["settings"]) if not key.startswith("backbone.")}
    assert own - COMPARED - {choice.key for choice in CHOICES} == set(of_training("ViT-S/16", "COCO"))


def test_a_model_that_is_trained_otherwise_is_named_with_both_values_and_alike_ones_together():
    models = setups("paper-table4")
    for name in models:
        models[name]["settings"]["optimisation"] |= {"batch_size": 64}
    (note,) = training_notes(models, ["lambda0.0_S25000_K64"])
    assert note.endswith("in brackets. lambda0.0_S25000_K64: optimisation.batch_size 64 (App. A.1: 256).")
    (note,) = training_notes(models, models)
    assert f"lambda2.0_S25000_K64 and {len(models) - 4} more: optimisation.batch_size 64" in note
    assert note.count("batch_size") == 1


def test_weights_from_elsewhere_and_mae_have_no_such_note():
    published = {"row": "r", "backbone": "ViT-S/16", "dataset": "COCO", "epochs": "300", "losses": [], "method": "CrOC"}
    assert training_notes({"croc": model_of(published, None)}, ["croc"]) == ()
    mae = setups("table1")["mae"]
    assert mae["settings"]["optimisation"]["batch_size"] == 1024 and training_notes({"mae": mae}, ["mae"]) == ()


def test_nothing_is_said_of_photos_where_they_are_the_papers():
    assert photos_notes(models := setups("paper-vits16-coco"), models) == ()
