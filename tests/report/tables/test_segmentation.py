"""Tables 2, 3 and 7: the best learning rate with the paper beside it, and the grid."""

import pytest

from cribo.report.experiment.planned import Planned
from cribo.report.render.to_csv import render_csv
from cribo.report.render.to_latex import render_latex
from cribo.report.render.to_markdown import render_markdown
from cribo.report.tables.segmentation import segmentation_tables

ALL = ["global", "cross_view", "cross_image"]
CRIBO = {"row": "CrIBo", "backbone": "vit_small_16", "dataset": "coco", "epochs": 300, "losses": ALL}
PLAN = {
    "title": "A test",
    "reference": "random",
    "models": {"random": {**CRIBO, "row": "untrained", "dataset": None, "epochs": 0, "losses": []}, "ours": CRIBO},
    "linear_segmentation": {
        "models": ["random", "ours"],
        "datasets": ["voc2012", "scenes"],
        "layers": [1, 4],
        "learning_rates": [8e-4, 8e-5],
    },
    "segmenter": {"models": ["ours"], "datasets": ["ade20k"], "learning_rates": [8e-6]},
}
VALUES = {
    ("linear_segmentation", "ours", "voc2012", 1, 8e-4): 60.0,
    ("linear_segmentation", "ours", "voc2012", 1, 8e-5): 61.5,
    ("linear_segmentation", "ours", "scenes", 1, 8e-4): 20.0,
    ("linear_segmentation", "random", "voc2012", 1, 8e-5): 10.0,
    ("linear_segmentation", "ours", "voc2012", 4, 8e-4): 62.0,
    ("segmenter", "ours", "ade20k", None, 8e-6): 40.0,
}


@pytest.fixture
def results():
    return {Planned(*cell): {"value": value} for cell, value in VALUES.items()}


def lines(table):
    return {line[0]: line[1:] for line in (row.split(",") for row in render_csv(table).splitlines())}


def test_the_best_learning_rate_stands_beside_the_paper_s_value(results):
    tables = {table.name: table for table in segmentation_tables(PLAN, {}, results)}
    assert list(tables) == [
        "linear_segmentation",
        "linear_segmentation_grid",
        "linear_segmentation_last4",
        "linear_segmentation_last4_grid",
        "segmenter",
        "segmenter_grid",
    ]
    found = render_markdown(tables["linear_segmentation"])
    row = [cell.strip() for cell in next(x for x in found.splitlines() if "CrIBo" in x and "|" in x).strip("|").split("|")]
    assert row == ["CrIBo", "61.0", "61.5", "+0.5", "8e-05", "20.0", "0.0008"]
    assert "Table 2" in found and "Table 7" in render_markdown(tables["linear_segmentation_last4"])
    assert "62.4 | 62.0 | -0.4" in " ".join(render_markdown(tables["linear_segmentation_last4"]).split())
    assert "39.3 | 40.0 | +0.7" in " ".join(render_markdown(tables["segmenter"]).split())
    row = next(x for x in found.splitlines() if "untrained" in x)
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == ["–", "10.0", "–", "8e-05", "not run", "–"]


def test_the_grid_keeps_every_learning_rate(results):
    grid = lines(segmentation_tables(PLAN, {}, results)[1])
    assert [x for x in grid["row"] if not x.endswith((" std", " n"))] == [
        f"{dataset} lr {lr}" for dataset in ("voc2012", "scenes") for lr in ("0.0008", "8e-05")
    ]
    assert grid["CrIBo"][::3] == ["60.0", "61.5", "20.0", "not run"]


def test_two_blocks_have_a_table_of_their_own_which_the_paper_has_not(results):
    results[Planned("linear_segmentation", "ours", "voc2012", 2, 8e-4)] = {"value": 63.5}
    plan = {**PLAN, "linear_segmentation": {**PLAN["linear_segmentation"], "layers": [1, 2]}}
    tables = {table.name: table for table in segmentation_tables(plan, {}, results)}
    assert len(tables) == 6 and "last 2 blocks" in tables["linear_segmentation_last2"].title
    assert lines(tables["linear_segmentation_last2"])["CrIBo"][0] == "63.5"
    assert not any(note.startswith("Paper:") for note in tables["linear_segmentation_last2"].notes)


def test_models_of_one_row_give_the_mean_of_their_best(results):
    plan = {**PLAN, "models": {name: {**CRIBO, "row": "both"} for name in ("random", "ours")}}
    best, grid = segmentation_tables(plan, {}, results)[:2]
    assert "35.8 ± 36.4" in render_markdown(best)
    assert [row.label for row in grid.rows] == ["both (random)", "both (ours)"]


def test_the_best_rates_of_a_row_s_models_are_named_in_order():
    rates = [4e-1, 3e-1, 2e-1, 1e-1]
    about = {"models": list("abcd"), "datasets": ["scenes"], "learning_rates": rates}
    plan = {**PLAN, "models": {name: CRIBO for name in "abcd"}, "segmenter": about}
    plan["linear_segmentation"] = {**PLAN["linear_segmentation"], "datasets": []}
    results = {
        Planned("segmenter", name, "scenes", None, lr): {"value": 1.0} for name, lr in zip("abcd", rates, strict=True)
    }
    assert lines(segmentation_tables(plan, {}, results)[0])["CrIBo"] == ["1.0", "0.0", "4", '"0.1', " 0.2", " 0.3", ' 0.4"']


def test_no_data_set_is_no_table(results):
    nothing = {"linear_segmentation": {**PLAN["linear_segmentation"], "datasets": []}, "segmenter": {"datasets": []}}
    assert segmentation_tables({**PLAN, **nothing}, {}, results) == []


def test_latex_is_written(results):
    assert all("\\bottomrule" in render_latex(table) for table in segmentation_tables(PLAN, {}, results))


def test_a_table_says_what_its_decoder_read_and_names_the_paper_s_table_where_that_has_the_data_set(results):
    tables = {table.name: table for table in segmentation_tables(PLAN, {}, results)}
    titles = [tables[name].title for name in ("linear_segmentation", "linear_segmentation_last4")]
    assert "frozen encoder" in titles[0] and "last 4 blocks concatenated" in titles[1]
    assert "Table 3" in " ".join(tables["segmenter"].notes)
    alone = {**PLAN, "linear_segmentation": {**PLAN["linear_segmentation"], "datasets": ["scenes"]}}
    assert not any(note.startswith("Paper:") for note in segmentation_tables(alone, {}, results)[0].notes)


def test_of_learning_rates_with_one_score_the_first_listed_is_named(results):
    for value, rate in ((60.0, "0.0008"), (60.1, "8e-05")):
        results[Planned("linear_segmentation", "ours", "voc2012", 1, 8e-5)] = {"value": value}
        row = next(x for x in render_markdown(segmentation_tables(PLAN, {}, results)[0]).splitlines() if "CrIBo" in x)
        assert row.split("|")[5].strip() == rate
