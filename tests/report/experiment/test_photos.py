"""How many photos an epoch had follows from the steps of the training, and says whether they are the paper's."""

from __future__ import annotations

import json

import pytest

from cribo.report.experiment.photos import are_the_papers, with_photos
from cribo.report.experiment.results import ReportError

PLAN = {"models": {"cribo": {"dataset": "coco"}, "random": {"dataset": None}}, "title": "t"}
TRAINED = {"cribo": {"optimisation": {"epochs": 300, "batch_size": 256}}}


@pytest.fixture
def metrics(tmp_path):
    (tmp_path / "cribo").mkdir()
    return tmp_path / "cribo/metrics.json"


def test_the_photos_of_an_epoch_are_its_whole_batches(metrics):
    metrics.write_text(json.dumps({"step": 138_600, "loss": 1.0}))
    found = with_photos(PLAN, TRAINED, metrics.parents[1])
    assert found["models"] == {"cribo": {"dataset": "coco", "photos": 462 * 256}, "random": {"dataset": None}}
    assert found["title"] == "t" and PLAN["models"]["cribo"] == {"dataset": "coco"}


def test_of_a_model_that_is_not_trained_yet_nothing_is_known(metrics):
    assert with_photos(PLAN, TRAINED, metrics.parents[1]) == PLAN


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"step": null}'])
def test_another_file_is_one_sentence(metrics, text):
    metrics.write_text(text)
    with pytest.raises(ReportError, match=r"cribo/metrics\.json is not a result of pretrain"):
        with_photos(PLAN, TRAINED, metrics.parents[1])


@pytest.mark.parametrize(
    ("printed", "photos", "batch", "whole"),
    [
        ("COCO", 118_272, 256, True),
        ("COCO", 118_016, 256, False),
        ("COCO", 117_760, 1024, True),
        ("IN1K", 1_281_024, 1024, True),
        ("IN1K", 118_272, 256, False),
        ("scenes", 96, 16, True),
        (None, 96, 16, True),
    ],
)
def test_whole_batches_of_the_whole_set_are_the_papers_photos(printed, photos, batch, whole):
    assert are_the_papers(printed, photos, batch) == whole
