"""What the page says of an experiment beside its scores: parameters, departures, costs, versions."""

from __future__ import annotations

import json

import pytest

from cribo.report.experiment import description
from cribo.report.experiment.planned import Planned
from tests.report.pages import score


def settings(backbone: str = "vit_small_16", dataset: str = "coco", **more: object) -> dict:
    return {"backbone": {"name": backbone, "depth": 12}, "dataset": dataset, "seed": 0, **more}


@pytest.mark.parametrize(
    ("backbone", "dataset", "recipe"),
    [
        ("vit_small_16", "coco", "paper-vits16-coco"),
        ("vit_small_16", "imagenet", "paper-vits16-in1k"),
        ("vit_base_16", "coco", "paper-vitb16-in1k"),
        ("vit_small_8", "imagenet", "paper-vits8-coco"),
        ("vit_demo_8", "scenes", "paper-vits16-coco"),
    ],
)
def test_a_model_is_put_beside_the_paper_s_model_that_it_is_most_like(backbone, dataset, recipe):
    assert description.paper_recipe(settings(backbone, dataset)) == recipe
    assert description.paper_settings(recipe)["backbone"]["name"].startswith("vit_")


def test_a_parameter_is_shown_where_a_model_differs_from_the_paper_or_from_another():
    paper = settings(losses=["global"], K=64, S=25000, flip=True, momentum=None)
    own = {
        "a": settings("vit_demo_8", "scenes", losses=["global"], K=12, S=25000, flip=False, mae=0.5),
        "b": settings("vit_demo_8", "scenes", losses=["pixels"], K=12, S=25000, flip=False, momentum=None),
    }
    own["b"]["seed"] = 1
    assert description.beside_the_paper(own, paper) == [
        ("backbone", "vit_demo_8", "vit_small_16"),
        ("losses", '["global"] (a); ["pixels"] (b)', '["global"]'),
        ("K", "12", "64"),
        ("flip", "false", "true"),
        ("mae", "0.5", ""),
    ]


def test_a_departure_is_said_once_with_every_model_that_makes_it():
    own = settings(optimisation={"batch_size": 256}, clustering={"marginals": "uniform"})
    alike = own | {"targets": {"directions": "mean"}}
    assert description.departures({"a": own, "b": alike}) == [
        ("a, b", "D1 clustering.marginals: uniform (released code histogram)"),
        ("b", "D6 targets.directions: mean (paper sum)"),
    ]


def test_costs_are_of_trainings_and_of_judging_with_what_each_has_told(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/cost.json").write_text(json.dumps({"seconds": 60, "peak_memory_mib": 900, "peak_gpu_memory_mib": 7}))
    judged = score("a", 1.0, cost={"seconds": 5.5, "peak_memory_mib": 8, "device": "cpu", "precision": "fp32"})
    assert description.costs({Planned("knn", "a", "scenes"): judged}, {"a": {}, "b": {}}, tmp_path) == [
        ("pretrain@a", 60.0, 900, 7, ""),
        ("knn@a-scenes", 5.5, 8, "", "cpu, fp32"),
    ]


def test_every_class_that_has_a_score_is_named_with_its_result():
    results = {
        Planned("dense_nn", "a", "voc2012"): {"per_class": {"patch": {"cat": 1.5, "dog": None}, "pixel": {"cat": 9.0}}},
        Planned("yolos", "a", "coco"): {"per_class": {"cat": 2}},
        Planned("knn", "a", "imagenet"): {},
    }
    assert description.per_class(results) == [("dense_nn a-voc2012: cat", 1.5), ("yolos a-coco: cat", 2)]


def test_a_version_is_said_once_with_the_results_that_carry_it_and_settings_have_a_digest():
    results = {Planned("knn", model, "scenes"): score(model, 1.0) for model in "abcde"}
    results[Planned("knn", "e", "scenes")]["versions"] = {"torch": "2.12.0"}
    rows = description.versions(results, {"a": {"x": 1, "y": 2}, "b": {"y": 2, "x": 1}, "c": {"x": 1, "y": 3}})
    few = "knn@a-scenes, knn@b-scenes, knn@c-scenes"
    assert rows[:3] == [
        ("data set scenes, sha256 of its content", "ab" * 32, f"{few} and 2 more"),
        ("torch", "2.11.0", f"{few} and 1 more"),
        ("torch", "2.12.0", "knn@e-scenes"),
    ]
    assert [row[0] for row in rows[3:]] == [f"settings of {name}, sha256" for name in "abc"] and rows[3][2] == "pretrain@a"
    assert rows[3][1] == rows[4][1] != rows[5][1] and len(rows[3][1]) == 64  # the order of keys says nothing
