"""Tables of k-NN and YOLOS: the paper's value, ours, the difference."""

from __future__ import annotations

import pytest

from cribo.report.experiment.planned import Planned
from cribo.report.tables.every import own_tables
from cribo.report.tables.single_value import HUMMINGBIRD, KNN, YOLOS, value_table
from cribo.report.tables.table import NONE, NOT_RUN, Number
from tests.report.pages import NOT_JUDGED

ALL = ["global", "cross_view", "cross_image"]
COCO = {"backbone": "vit_small_16", "dataset": "coco", "epochs": 300}
PLAN = NOT_JUDGED | {
    "title": "A test",
    "models": {
        "random": {"row": "random", "backbone": "vit_small_16", "dataset": None, "epochs": 0, "losses": []},
        "view": {"row": "L_cv", **COCO, "losses": ALL[:2]},
        "a": {"row": "CrIBo", **COCO, "losses": ALL},
        "b": {"row": "CrIBo", **COCO, "losses": ALL},
    },
    "knn": {"models": ["random", "view", "a", "b"], "datasets": ["imagenet", "scenes"]},
    "yolos": {"models": ["view", "a", "b"], "datasets": ["coco"]},
    "hummingbird": {"models": ["random", "a"], "datasets": ["voc2012"]},
}


@pytest.fixture
def results():
    return {
        Planned(protocol, model, dataset): {"value": 30.0 + n, "AP": 20.0 + n, "AP50": 40.0, "AP75": 10.0}
        for protocol, dataset in (("knn", "imagenet"), ("knn", "scenes"), ("yolos", "coco"))
        for n, model in enumerate(("view", "a", "b"))
    } | {Planned("hummingbird", "a", "voc2012"): {"value": 46.6, "mIoU": 46.6, "mIoU_unmatched": 45.2}}


def cells(kind, results):
    table = value_table(kind, PLAN, {}, results)
    titles = [column.title for column in table.columns]
    return {row.label: dict(zip(titles, row.cells, strict=True)) for row in table.rows}


def test_knn_stands_beside_table_5(results):
    table = cells(KNN, results)
    assert list(table) == ["random", "L_cv", "CrIBo"]
    assert list(table["CrIBo"]) == ["imagenet top1 paper", "imagenet top1 ours", "imagenet top1 Δ", "scenes top1"]
    assert table["L_cv"]["imagenet top1 paper"] == Number(35.8)
    assert table["CrIBo"]["imagenet top1 paper"] == Number(38.2)
    assert table["CrIBo"]["imagenet top1 ours"] == Number(31.5, pytest.approx(0.5**0.5), 2)
    assert table["CrIBo"]["imagenet top1 Δ"].value == pytest.approx(31.5 - 38.2)
    assert (table["random"]["imagenet top1 paper"], table["random"]["scenes top1"]) == (NONE, NOT_RUN)


def test_yolos_has_three_metrics(results):
    table = cells(YOLOS, results)
    assert [table["CrIBo"][f"coco {m} paper"].value for m in ("AP", "AP50", "AP75")] == [30.2, 48.4, 31.0]
    assert table["L_cv"]["coco AP Δ"].value == pytest.approx(20 - 27.1)


def test_the_papers_table_is_named_where_it_has_the_data_set(results):
    for kind, said in ((KNN, ", Table 5; – where"), (YOLOS, ", Tables 5 and 6; – where")):
        assert [said in note for note in value_table(kind, PLAN, {}, results).notes if note.startswith("Paper:")] == [True]
    scenes = PLAN | {"knn": PLAN["knn"] | {"datasets": ["scenes"]}}
    assert not any(note.startswith("Paper:") for note in value_table(KNN, scenes, {}, results).notes)


def test_a_protocol_without_a_data_set_has_no_table(results):
    plan = PLAN | {protocol: {"datasets": []} for protocol in ("dense_nn", "linear_segmentation", "segmenter", "knn")}
    assert [table.name for table in own_tables(plan, {}, results)] == ["hummingbird", "yolos"]


def test_what_a_row_of_several_models_gives_is_said_below_the_table(results):
    said = "Rows of several models give their mean, and ± is the standard deviation (n − 1) between them: CrIBo (a, b)."
    assert all(value_table(kind, PLAN, {}, results).notes.count(said) == 1 for kind in (KNN, YOLOS))


def test_open_hummingbird_has_a_table_that_never_stands_beside_the_paper(results):
    nothing = {"datasets": []}
    plan = PLAN | {"dense_nn": nothing, "linear_segmentation": nothing, "segmenter": nothing}
    assert [table.name for table in own_tables(plan, {}, results)] == ["hummingbird", "knn", "yolos"]
    table = value_table(HUMMINGBIRD, PLAN, {}, results)
    assert [(column.title, column.kind) for column in table.columns] == [
        ("voc2012 mIoU", "measured"),
        ("voc2012 unmatched", "measured"),
    ]
    assert {row.label: row.cells for row in table.rows} == {
        "random": (NOT_RUN, NOT_RUN),
        "CrIBo": (Number(46.6), Number(45.2)),
    }
    assert len(table.notes) == 1 and "not the paper's" in table.notes[0]
