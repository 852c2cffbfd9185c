"""Tables 1 to 12: every printed value once and as printed, ours beside it only where the models are the same."""

from __future__ import annotations

import pytest

from cribo.report.experiment.planned import Planned
from cribo.report.experiment.step_benchmark import StepBenchmark
from cribo.report.paper import values as paper
from cribo.report.render.to_csv import render_csv
from cribo.report.render.to_html import render_html
from cribo.report.render.to_latex import render_latex
from cribo.report.render.to_markdown import render_markdown
from cribo.report.tables.ours import Ours
from cribo.report.tables.paper import paper_table
from cribo.report.tables.table import NOT_RUN, Number, Text

ALL = ["global", "cross_view", "cross_image"]
RATES = ((0.1, 60.0), (0.2, 61.5))
PLAN = {"dense_nn": {"subsample": [1]}}


def row(losses=ALL, **changed):
    return {"row": "r", "backbone": "vit_small_16", "dataset": "coco", "epochs": 300, "losses": losses} | changed


def settings(K=64, lambda_pos=2.0, S=25000, algorithm="sinkhorn", criterion="cycle"):
    return {
        "clustering": {"algorithm": algorithm, "K": K, "lambda_pos": lambda_pos},
        "memory_bank": {"images": S},
        "matching": {"criterion": criterion},
    }


def ours(models, more=None):
    """`models`: name → (row of the plan, settings, patch mIoU on voc2012, None where that has not run)."""
    results = {
        Planned("dense_nn", name, "voc2012"): {
            "value": value,
            "patch": {"1/1": {"mean": value, "std": None, "runs": [value]}},
        }
        for name, (_, _, value) in models.items()
        if value is not None
    }
    plan = PLAN | {"models": {name: about for name, (about, _, _) in models.items()}}
    return Ours(plan, {name: own for name, (_, own, _) in models.items() if own}, results | (more or {}))


def numbers(table, kind):
    return [
        cell.value
        for line in table.rows
        for cell, column in zip(line.cells, table.columns, strict=True)
        if column.kind == kind and isinstance(cell, Number)
    ]


@pytest.mark.parametrize("number", range(1, 13))
def test_every_printed_value_stands_in_its_table_once(number):
    table = paper_table(number, ours({}))
    shown = [
        cell.words if isinstance(cell, Text) else cell.value
        for line in table.rows
        for cell, column in zip(line.cells, table.columns, strict=True)
        if column.kind == "printed" and getattr(cell, "words", "") != "–"
    ]
    printed = [cell.value for cell in paper.cells() if cell.table == number]
    as_number = [float(value) if ":" not in value else value for value in printed]
    assert sorted(map(str, shown)) == sorted(map(str, as_number))
    assert numbers(table, "measured") == [] and numbers(table, "difference") == []


@pytest.mark.parametrize(
    ("number", "rows", "columns"),
    [
        (4, ["Pascal VOC ✗", "Pascal VOC ✓", "ADE20K ✗", "ADE20K ✓"], ["λ_pos 0.0 paper", "S 1k paper", "K 4 paper"]),
        (5, ["L_cv^g", "L_cv^g + L_cv^o", "L_cv^g + L_cv^o + L_ci^o"], ["ADE20K, dense NN mIoU paper"]),
        (5, ["L_cv^g"], ["COCO, detection AP75 paper", "IN1K, k-NN top1 paper"]),
        (8, ["every neighbour", "cycle-consistent"], ["Pascal VOC min paper", "ADE20K avg paper"]),
        (9, ["forward pass", "nn retrieval", "total"], ["ms paper", "% paper"]),
        (11, ["clustering by ground truth", "clustering and bootstrapping by ground truth", "CrIBo"], ["ADE20K paper"]),
        (12, ["K-means", "Sinkhorn, λ_pos 0.0"], ["Pascal VOC K 4 paper", "ADE20K K 64 paper"]),
    ],
)
def test_rows_and_columns_of_an_ablation_are_called_by_what_it_varies(number, rows, columns):
    table = paper_table(number, ours({}))
    words = sum(column.kind == "words" for column in table.columns)
    named = {" ".join([line.label, *(cell.words for cell in line.cells[:words])]) for line in table.rows}
    assert set(rows) <= named and set(columns) <= {column.title for column in table.columns}


def test_a_model_set_up_as_the_papers_stands_beside_it_in_every_table_that_prints_it():
    own = ours({"cribo": (row(), settings(), 58.5)})
    counts = {number: numbers(paper_table(number, own), "measured").count(58.5) for number in range(1, 13)}
    assert {number: count for number, count in counts.items() if count} == {1: 1, 4: 3, 5: 1, 11: 1, 12: 1}
    assert numbers(paper_table(1, own), "difference") == [pytest.approx(58.5 - 58.1)]


@pytest.mark.parametrize(
    ("about", "own", "tables"),
    [
        (row(), settings(K=8), {4: 1, 12: 1}),
        (row(), settings(lambda_pos=0.0), {4: 1, 12: 1}),
        (row(), settings(S=1000), {4: 1}),
        (row(), settings(criterion="labels"), {11: 1}),
        (row(), settings(algorithm="labels", K=171), {11: 1}),
        (row(), settings(algorithm="kmeans"), {12: 1}),
        (row(["global"]), {}, {5: 1}),
        (row(ALL[:2]), {"clustering": settings()["clustering"]}, {4: 2, 5: 1}),
        (row(dataset="imagenet", epochs=300, backbone="vit_base_16"), settings(12, 1.0), {8: 3}),
        (row(epochs=299), settings(), {}),
        (row(backbone="vit_demo_8"), settings(), {}),
        (row(dataset="scenes"), settings(), {}),
    ],
)
def test_an_ablation_stands_beside_its_own_cell_alone(about, own, tables):
    found = ours({"cribo": (about, own or {"targets": {}}, 33.3)})
    counts = {number: numbers(paper_table(number, found), "measured").count(33.3) for number in range(1, 13)}
    assert {number: count for number, count in counts.items() if count} == tables


def test_seeds_give_their_mean_and_deviation():
    own = ours({"a": (row(), settings(), 57.0), "b": (row(), settings(), 59.0)})
    cell = next(cell for cell in paper.cells() if cell.table == 1 and cell.method == "CrIBo" and cell.value == "58.1")
    assert own.opposite(cell) == Number(58.0, pytest.approx(2**0.5), 2)
    alone = ours({"a": (row(), settings(), 57.0)})
    assert [any(note.startswith("±:") for note in paper_table(1, o).notes) for o in (own, alone)] == [True, False]


def test_published_weights_stand_there_until_a_model_trained_here_is_judged_and_are_never_mixed_with_it():
    published = (row(backbone="ViT-S/16", dataset="COCO", epochs="300", row="theirs"), None, 58.0)
    cell = next(cell for cell in paper.cells() if cell.table == 1 and cell.method == "CrIBo" and cell.value == "58.1")
    for value, expected, noted in ((None, 58.0, True), (50.0, 50.0, False)):
        own = ours({"released": published, "cribo": (row(), settings(), value)})
        assert own.opposite(cell) == Number(expected)
        notes = paper_table(4, own).notes
        assert ("Published weights, judged here: theirs." in notes) == noted


def test_how_much_of_the_grid_stands_behind_each_aggregate_of_the_cycle_ablation_is_said():
    about, none = row(dataset="imagenet", epochs=300), settings(12, 1.0) | {"matching": {"criterion": "none"}}
    models = {f"s{seed}": (about, settings(12, 1.0), 60.0) for seed in (0, 1)} | {"b": (about, settings(8, 1.0), 61.0)}
    notes = paper_table(8, ours(models | {"c": (about, none, 62.0)})).notes
    said = "Ours, of the 18 settings behind each of the paper's: 1 with criterion none on voc2012, 2 with criterion cycle on"
    assert [note for note in notes if note.startswith("Ours, of")] == [f"{said} voc2012."]
    assert not any("of the 18" in note for note in paper_table(8, ours({})).notes)
    default = ours({"cribo": (row(), settings(), 58.5)})
    assert not any("of the 18" in note for number in (1, 4, 12) for note in paper_table(number, default).notes)


def test_the_grid_of_the_cycle_ablation_gives_its_least_most_and_mean():
    about = row(dataset="imagenet", epochs=300)
    models = {f"K{K}": (about, settings(K, 1.0), value) for K, value in ((4, 50.0), (8, 52.0), (12, 57.0))}
    table = paper_table(8, ours(models))
    found = {c.title: cell for c, cell in zip(table.columns, table.rows[1].cells, strict=True) if c.group == "Pascal VOC"}
    assert [found[f"Pascal VOC {of} ours"] for of in ("min", "max", "avg")] == [Number(v, None, 3) for v in (50, 57, 53)]


def test_a_model_of_other_photos_is_named_below_the_tables_where_it_would_have_stood():
    seen = settings() | {"optimisation": {"batch_size": 256}}
    own = ours({"cribo": (row(photos=22_784), seen, 40.0)})
    said = "Compared with nothing: cribo saw 22,784 photos an epoch, where the paper's model had the 118,287 of COCO."
    counts = {number: paper_table(number, own).notes.count(said) for number in range(1, 13)}
    assert {number for number, count in counts.items() if count} == {1, 2, 3, 4, 5, 7, 11, 12}
    assert numbers(paper_table(1, own), "measured") == []


def test_the_best_learning_rate_counts():
    cells = {Planned("linear_segmentation", "cribo", "voc2012", 1, lr): {"value": value} for lr, value in RATES}
    own = ours({"cribo": (row(), settings(), 1.0)}, cells)
    assert numbers(paper_table(2, own), "measured") == [61.5] and numbers(paper_table(7, own), "measured") == []


def test_removing_a_result_leaves_one_cell_not_run_and_nothing_else_changes():
    models = {"a": (row(), settings(), 58.5), "b": (row(["global"]), {"targets": {}}, 31.0)}
    before = paper_table(5, ours(models))
    after = paper_table(5, ours(models | {"b": (*models["b"][:2], None)}))
    changed = [
        (column.kind, cell)
        for old, new in zip(before.rows, after.rows, strict=True)
        for was, cell, column in zip(old.cells, new.cells, after.columns, strict=True)
        if was != cell
    ]
    assert [kind for kind, _ in changed] == ["measured", "difference"] and changed[0][1] == NOT_RUN


def test_a_share_that_the_plan_no_longer_asks_for_is_not_run():
    own = ours({"cribo": (row(), settings(), 58.5)})
    own.results[Planned("dense_nn", "cribo", "voc2012")]["patch"]["1/8"] = {"mean": 50.0, "std": 0.1, "runs": [50.0] * 5}
    assert numbers(paper_table(1, own), "measured") == [58.5]
    own.shares.add("1/8")
    cell = next(cell for cell in paper.cells() if cell.table == 1 and cell.value == "52.8")
    assert own.opposite(cell) == Number(50.0, 0.1, 5)  # with what its own draws say


def test_reproductions_are_marked_and_the_papers_inconsistencies_are_said():
    table = paper_table(1, ours({}))
    assert {line.label for line in table.rows} >= {"DINO †", "MAE †", "LOCA *", "Hummingbird *", "CrIBo"}
    assert any(note.startswith("†:") for note in table.notes) and any("SlotCon is ahead" in note for note in table.notes)
    assert "47.1 and 18.3 in Table 5" in render_markdown(paper_table(4, ours({})))


def test_step_times_are_compared_by_share():
    profile = dict(forward_pass=2.0, clustering=1.0, nn_retrieval=0.5, object_projections=0.5, weights_update=1.0)
    table = paper_table(9, ours({}), StepBenchmark("a server", profile, None, 12, True))
    assert numbers(table, "measured")[:2] == [2.0, 40.0] and numbers(table, "difference")[0] == pytest.approx(40 - 41.7)
    assert "Ours: a server." in table.notes and not any("benchmarks/step.py" in note for note in table.notes)
    assert not any("benchmarks/step.py" in note for number in (1, 8, 11) for note in paper_table(number, ours({})).notes)


@pytest.mark.parametrize(("K", "as_printed"), [(32, True), (12, False)])
def test_the_profile_of_another_step_is_shown_and_not_compared(K, as_printed):
    profile = dict(forward_pass=2.0, clustering=1.0, nn_retrieval=0.5, object_projections=0.5, weights_update=1.0)
    table = paper_table(9, ours({}), StepBenchmark("a laptop", profile, None, K, as_printed))
    assert numbers(table, "measured")[:2] == [2.0, 40.0] and numbers(table, "difference") == []
    assert "Ours: a laptop." in table.notes and any("benchmarks/step.py" in note for note in table.notes)


def test_html_colours_differences_by_tolerance_and_every_rendering_is_the_same_each_time():
    own = ours({"a": (row(), settings(), 58.5), "b": (row(["global"]), {"targets": {}}, 11.0)})
    table = paper_table(5, own)
    html = render_html(table, 1.0)
    assert '<td class="difference near" data-value="0.3' in html and "difference below" in html and "above" not in html
    assert 'class="difference above"' in render_html(table, 0.1) and "not run" in html
    for render in (render_html, render_markdown, render_latex, render_csv):
        assert render(table) == render(paper_table(5, own))
