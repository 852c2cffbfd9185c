"""Names of models and data sets: each mistake stands at the key that has it."""

from __future__ import annotations

import pytest

from tests.edits import DEMO, edited, judging, sentences


@pytest.mark.parametrize(("protocol", "kinds"), [("knn", "scenes or imagenet"), ("yolos", "scenes or coco")])
def test_a_protocol_that_needs_classes_or_boxes_refuses_data_sets_of_other_kinds(protocol, kinds):
    text = DEMO.replace("\npretrain:", "  photos: {kind: ade20k}\n\npretrain:", 1)
    (found,) = sentences(judging(protocol, "[photos]", text))
    assert f"evaluate.{protocol}.datasets: photos is of kind ade20k, and {protocol} needs {kinds}" in found


def test_a_model_that_no_table_has_and_a_class_named_twice_are_found_where_they_stand():
    (found,) = sentences(edited("evaluate.knn.models", "[cribos]", judging("knn", "[scenes]")))
    assert "evaluate.knn.models: cribos is not in evaluate.models" in found
    mine = "  mine: {kind: folder, path: /photos, train: a, masks: m, classes: [x, y, x]}\n  scenes:"
    (found,) = sentences(DEMO.replace("  scenes:", mine, 1))
    assert found.partition(": ")[2] == "data.mine.classes: names x twice: keep one"


def test_examples_are_of_evaluated_models_on_data_sets():
    (found,) = sentences(edited("report.examples.models", "[cribos]"))
    assert "report.examples.models: cribos is not evaluated (" in found
    (found,) = sentences(edited("report.examples.datasets", "[scene]"))
    assert "report.examples.datasets: scene is not a data set (" in found


def test_a_mistyped_model_is_not_offered_in_place_of_the_model_that_was_meant():
    mistyped, followed = sentences(edited("evaluate.models", "[random, cribbo]"))
    assert "cribbo is not a model" in mistyped and mistyped.endswith("did you mean cribo?")
    assert "report.examples.models: cribo is not evaluated (allowed: random)" in followed


def test_names_that_could_stand_there_are_told_in_order():
    (found,) = sentences(edited("evaluate.models", "[random, globl, cribo]"))
    assert "globl is not a model (allowed: cribo, cross_view, global, random)" in found
