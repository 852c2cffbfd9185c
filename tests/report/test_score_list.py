"""Every score of the experiment on a line: those that params.yaml asks for, and no other."""

import json

import pytest

from cribo.report.results import ReportError
from cribo.report.score_list import score_list

PLAN = {"knn": {"models": ["a"], "datasets": ["scenes"]}, "linear_segmentation": {"models": ["a"], "datasets": ["scenes"]}}


def write(folder, kind, name, **tree):
    path = folder / "scores" / kind / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"dataset": "scenes", **tree}))


def test_scores_that_the_plan_asks_for_are_listed_at_full_precision(tmp_path):
    write(tmp_path, "knn", "a-scenes", model="a", value=12.3456789, protocol={"value": "top-1"})
    write(tmp_path, "knn", "b-scenes", model="b", value=1.0, protocol={"value": "top-1"})
    write(tmp_path, "yolos", "a-scenes", model="a", value=1.0, protocol={"value": "AP"})
    cell = {"value": 6.5, "layers": 4, "learning_rate": 1e-3, "protocol": {}}
    write(tmp_path, "linear_segmentation", "a-scenes-last4-0.001", model="a", **cell)
    assert score_list(PLAN, tmp_path).splitlines() == [
        "model,protocol,dataset,value,what",
        "a,linear_segmentation,scenes,6.5,mIoU with 4 layers at learning rate 0.001",
        "a,knn,scenes,12.3456789,top-1",
    ]


def test_a_corrupt_result_is_named(tmp_path):
    write(tmp_path, "knn", "a-scenes", model="a", protocol={})
    with pytest.raises(ReportError, match=r"a-scenes\.json is no result"):
        score_list(PLAN, tmp_path)
