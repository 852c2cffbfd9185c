"""Tables of k-NN and YOLOS: the paper's value, ours, the difference."""

from __future__ import annotations

import json

import pytest

from cribo.report.results import ReportError
from cribo.report.single_value_tables import KNN, YOLOS, read_values, value_table
from cribo.report.table import NONE, NOT_RUN, Number

ALL = ["global", "cross_view", "cross_image"]
COCO = {"backbone": "vit_small_16", "dataset": "coco", "epochs": 300}
PLAN = {
    "title": "A test",
    "models": {
        "random": {"row": "random", "backbone": "vit_small_16", "dataset": None, "epochs": 0, "losses": []},
        "view": {"row": "L_cv", **COCO, "losses": ALL[:2]},
        "a": {"row": "CrIBo", **COCO, "losses": ALL},
        "b": {"row": "CrIBo", **COCO, "losses": ALL},
    },
    "knn": {"models": ["random", "view", "a", "b"], "datasets": ["imagenet", "scenes"]},
    "yolos": {"models": ["view", "a", "b"], "datasets": ["coco"]},
}


@pytest.fixture
def folder(tmp_path):
    for protocol, dataset in (("knn", "imagenet"), ("knn", "scenes"), ("yolos", "coco")):
        (tmp_path / protocol).mkdir(exist_ok=True)
        for n, model in enumerate(("view", "a", "b")):
            tree = {"model": model, "dataset": dataset, "value": 30.0 + n, "AP": 20.0 + n, "AP50": 40.0, "AP75": 10.0}
            (tmp_path / protocol / f"{model}-{dataset}.json").write_text(json.dumps(tree))
    return tmp_path


def cells(kind, folder):
    table = value_table(kind, PLAN, {}, read_values(kind, PLAN, folder))
    titles = [column.title for column in table.columns]
    return {row.label: dict(zip(titles, row.cells, strict=True)) for row in table.rows}


def test_knn_stands_beside_table_5(folder):
    table = cells(KNN, folder)
    assert list(table) == ["random", "L_cv", "CrIBo"]
    assert list(table["CrIBo"]) == ["imagenet top1 paper", "imagenet top1 ours", "imagenet top1 Δ", "scenes top1"]
    assert table["L_cv"]["imagenet top1 paper"] == Number(35.8)
    assert table["CrIBo"]["imagenet top1 paper"] == Number(38.2)
    assert table["CrIBo"]["imagenet top1 ours"] == Number(31.5, pytest.approx(0.5**0.5), 2)
    assert table["CrIBo"]["imagenet top1 Δ"].value == pytest.approx(31.5 - 38.2)
    assert (table["random"]["imagenet top1 paper"], table["random"]["scenes top1"]) == (NONE, NOT_RUN)


def test_yolos_has_three_metrics(folder):
    table = cells(YOLOS, folder)
    assert [table["CrIBo"][f"coco {m} paper"].value for m in ("AP", "AP50", "AP75")] == [30.2, 48.4, 31.0]
    assert table["L_cv"]["coco AP Δ"].value == pytest.approx(20 - 27.1)


@pytest.mark.parametrize("text", ["{", "[]", '{"model": "a", "dataset": "scenes", "value": "x"}', '{"model": "a"}'])
def test_corrupt_results_are_one_sentence(folder, text):
    (folder / "knn/a-scenes.json").write_text(text)
    with pytest.raises(ReportError, match=r"a-scenes\.json is no result of knn"):
        read_values(KNN, PLAN, folder)


def test_a_result_about_another_model_is_refused(folder):
    (folder / "knn/a-scenes.json").write_text((folder / "knn/b-scenes.json").read_text())
    with pytest.raises(ReportError, match="is about b on scenes, not a on scenes"):
        read_values(KNN, PLAN, folder)
