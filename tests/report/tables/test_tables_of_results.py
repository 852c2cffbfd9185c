"""Tables: pure functions of results and the paper's values."""

from __future__ import annotations

import csv
import html
import io
import json
import re

import pytest

from cribo.report.experiment.results import ReportError, read_results
from cribo.report.paper import values as paper
from cribo.report.render.to_csv import render_csv
from cribo.report.render.to_html import render_html
from cribo.report.render.to_latex import escape, render_latex
from cribo.report.render.to_markdown import render_markdown
from cribo.report.tables.dense_nn import dense_nn_table
from cribo.report.tables.table import NONE, NOT_RUN, Column, Number, Row, Table, Text

ALL = ["global", "cross_view", "cross_image"]


def model(row, losses, backbone="vit_small_16", dataset="coco", epochs=300):
    return {"row": row, "backbone": backbone, "dataset": dataset, "epochs": epochs, "losses": losses}


PLAN = {
    "title": "A test",
    "reference": "random",
    "models": {
        "random": {"row": "random", "backbone": "vit_small_16", "dataset": None, "epochs": 0, "losses": []},
        "cv": model("L_cv", ALL[:2]),
        "a": model("CrIBo", ALL),
        "b": model("CrIBo", ALL),
        "short": model("CrIBo, 30 epochs", ALL, epochs=30),
    },
    "dense_nn": {
        "models": ["random", "cv", "a", "b", "short"],
        "datasets": ["voc2012", "scenes"],
        "subsample": [1, 8],
    },
}


def write(folder, name, dataset, patch, pixel, warnings=()):
    folder.mkdir(parents=True, exist_ok=True)
    tree = {
        "value": patch,
        "model": name,
        "dataset": dataset,
        "data_warnings": list(warnings),
        "patch": {
            "1/1": {"mean": patch, "std": None, "runs": [patch]},
            "1/8": {"mean": patch / 2, "std": 0.5, "runs": [patch / 2] * 5},
        },
        "pixel": {
            "1/1": {"mean": pixel, "std": None, "runs": [pixel]},
            "1/8": {"mean": pixel / 2, "std": 0.25, "runs": [pixel / 2] * 5},
        },
    }
    (folder / f"{name}-{dataset}.json").write_text(json.dumps(tree))


@pytest.fixture
def folder(tmp_path):
    for n, name in enumerate(PLAN["models"]):
        for m, dataset in enumerate(PLAN["dense_nn"]["datasets"]):
            write(tmp_path / "scores/dense_nn", name, dataset, 10.0 + 12 * n + m / 3, 11.0 + 12 * n + m / 7)
    return tmp_path / "scores/dense_nn"


def table_of(folder):
    return dense_nn_table(PLAN, {}, read_results(PLAN, folder.parents[1]))


def cell(table, label, title):
    row = next(row for row in table.rows if row.label == label)
    return row.cells[[column.title for column in table.columns].index(title)]


def test_rows_columns_and_comparison(folder):
    table = table_of(folder)
    assert [row.label for row in table.rows] == ["random", "L_cv", "CrIBo", "CrIBo, 30 epochs"]
    assert [column.title for column in table.columns] == [
        "voc2012 1/8 paper",
        "voc2012 1/8 ours",
        "voc2012 1/8 Δ",
        "voc2012 1/1 paper",
        "voc2012 1/1 ours",
        "voc2012 1/1 Δ",
        "voc2012 1/1 pixels",
        "voc2012 1/1 ×",
        "scenes 1/8",
        "scenes 1/1",
        "scenes 1/1 pixels",
        "scenes 1/1 ×",
    ]
    assert cell(table, "L_cv", "voc2012 1/1 paper") == Number(47.1)  # Table 5
    assert cell(table, "L_cv", "voc2012 1/8 paper") == NONE  # which has no other share
    assert cell(table, "L_cv", "voc2012 1/8 Δ") == NONE
    assert cell(table, "CrIBo", "voc2012 1/8 paper") == Number(52.8)  # Table 1
    assert cell(table, "CrIBo", "voc2012 1/1 ours") == Number(40.0, pytest.approx(72**0.5), 2)
    assert cell(table, "CrIBo", "voc2012 1/1 Δ").value == pytest.approx(40 - 58.1)
    assert cell(table, "CrIBo", "voc2012 1/1 ×") == Number(4.0)
    assert cell(table, "random", "voc2012 1/1 ×") == Number(1.0)
    assert cell(table, "random", "voc2012 1/8 ours") == Number(5.0, 0.5, 5)
    assert cell(table, "random", "voc2012 1/1 paper") == cell(table, "CrIBo, 30 epochs", "voc2012 1/1 paper") == NONE
    assert cell(table, "L_cv", "scenes 1/1 pixels").value == pytest.approx(23 + 1 / 7)


def test_a_removed_result_is_not_run_and_nothing_else_changes(folder):
    before = table_of(folder)
    (folder / "cv-scenes.json").unlink()
    after = table_of(folder)
    for old, new in zip(before.rows, after.rows, strict=True):
        for column, a, b in zip(before.columns, old.cells, new.cells, strict=True):
            if old.label == "L_cv" and column.group == "scenes":
                assert b == (NONE if column.kind == "ratio" else NOT_RUN)
            else:
                assert a == b


def test_a_row_of_two_models_with_one_result(folder):
    (folder / "b-voc2012.json").unlink()
    assert cell(table_of(folder), "CrIBo", "voc2012 1/1 ours") == Number(34.0, None, 1)


def test_nothing_run(tmp_path):
    table = table_of(tmp_path / "scores/dense_nn")
    assert all(
        c in (NOT_RUN, NONE) or table.columns[i].kind == "printed" for row in table.rows for i, c in enumerate(row.cells)
    )
    assert "not run" in render_markdown(table)


CORRUPT = [
    "",
    "{",
    "[]",
    "{}",
    '{"model": "cv", "dataset": "scenes", "value": 1.0, "patch": {"8": {}}, "pixel": {}}',
    '{"model": "cv", "dataset": "scenes", "value": 1.0, "pixel": {}, '
    '"patch": {"1/8": {"mean": "x", "std": 1, "runs": [1]}}}',
    '{"model": "cv", "dataset": "scenes", "value": 1.0, "pixel": {}, "patch": {"1/8": {"mean": 1, "std": 1, "runs": 5}}}',
    '{"model": "cv", "dataset": "scenes", "value": 1e999, "patch": {}, "pixel": {}}',
    '{"model": "cv", "dataset": "scenes", "value": 1.0, "patch": {}, "pixel": {}, "data_warnings": null}',
    "[" * 100_000,
    '{"model": "else", "dataset": "scenes", "value": 1.0, "patch": {}, "pixel": {}}',
]


@pytest.mark.parametrize("text", CORRUPT)
def test_corrupt_results_are_one_sentence(folder, text):
    (folder / "cv-scenes.json").write_text(text)
    with pytest.raises(ReportError, match=r"cv-scenes\.json") as raised:
        table_of(folder)
    assert "\n" not in str(raised.value)


def test_same_inputs_same_bytes(folder):
    for render in (render_markdown, render_csv, render_latex):
        assert render(table_of(folder)) == render(table_of(folder))


def test_csv_gives_every_number_back(folder):
    table = table_of(folder)
    rows = list(csv.DictReader(io.StringIO(render_csv(table))))
    assert [row["row"] for row in rows] == [row.label for row in table.rows]
    for parsed, row in zip(rows, table.rows, strict=True):
        for column, own in zip(table.columns, row.cells, strict=True):
            text = parsed[column.title]
            if isinstance(own, Number):
                assert float(text) == own.value
                if column.kind == "measured":
                    assert int(parsed[f"{column.title} n"]) == own.n
                    std = parsed[f"{column.title} std"]
                    assert (float(std) if std else None) == own.std
            else:
                assert text == ("" if own == NONE else "not run")


def test_markdown_is_one_table(folder):
    lines = [line for line in render_markdown(table_of(folder)).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4
    assert len({line.count("|") for line in lines}) == 1 and len({len(line) for line in lines}) == 1
    assert " 40.0 ± 8.5 |" in lines[4] and "-18.1" in lines[4] and "4.00×" in lines[4]


ODD = r"50 % of {a_b} & $c$ #1 ~ ^ \ <x> | Δ × ± –"


def test_latex_escapes():
    escaped = escape(ODD)
    assert escaped == (
        r"50 \% of \{a\_b\} \& \$c\$ \#1 \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textless{}x\textgreater{} | $\Delta$ $\times$ $\pm$ --"
    )


NESTED = ("table", "adjustbox", "tabular")  # the middle one for tables that are wider than the text


def test_latex_structure(folder):
    table = table_of(folder)
    text = render_latex(Table("odd", ODD, table.columns, (*table.rows, Row(ODD, table.rows[0].cells)), (ODD,)))
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    for line in body.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) == len(table.columns)
    environments = re.findall(r"^\\(begin|end)\{(\w+)\}", text, re.M)
    assert environments == [("begin", e) for e in NESTED] + [("end", e) for e in reversed(NESTED)]
    assert r"\multicolumn{8}{c}{voc2012} & \multicolumn{4}{c}{scenes}" in text
    assert r"\cmidrule(lr){2-9} \cmidrule(lr){10-13}" in text
    assert "$-$18.1" in text and r"40.0 $\pm$ 8.5" in text
    outside = re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "", text)
    assert not re.search(r"(?<!\\)[%#_](?! needs)", outside) and r"L_cv & " not in text


def test_words_stand_flush_left_and_numbers_right():
    table = Table("t", "T", (Column("", "photos", kind="words"), Column("g", "a")), (Row("x", (Text("COCO"), Number(1.0))),))
    assert r"\begin{tabular}{llr}" in render_latex(table)
    assert "<th class=left" in render_html(table) and render_html(table).count("class=left") == 1


def test_markdown_escapes_bars():
    table = Table("t", "T", (Column("g", "a|b"),), (Row("x|y", (Number(1.0),)),))
    assert r"g a\|b" in render_markdown(table) and r"x\|y" in render_markdown(table)


WRITTEN = ("L_cv^g", "_a_", "__init__", "<b> *x* ~y~ `c`", "a\\b", "[x](y)", "![x](y)", "&amp;", "Hummingbird *", "a|b")


def test_markdown_shows_names_as_they_are_written():
    markdown = pytest.importorskip("markdown_it").MarkdownIt().enable(["table", "strikethrough"])
    for name in WRITTEN:
        page = markdown.render(render_markdown(Table("t", name, (Column("", name),), (Row(name, (NONE,)),), (name,))))
        shown = re.findall("<(?:h2|th|td|p)[^>]*>(.*)</", page)
        assert [html.unescape(text) for text in shown] == [name, "", name, name, NONE.words, name]


def test_latex_takes_no_name_for_an_option_of_the_row_before():
    table = Table("t", "T", (Column("", "a"),), (Row("[ours] x", (NONE,)), Row("* y", (NONE,))))
    assert re.findall(r"^.* &(?= --)", render_latex(table), re.M) == ["{[}ours] x &", "{*} y &"]


def test_cells_must_fit_columns():
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        Table("t", "T", (Column("g", "a"),), (Row("x", (NONE, NONE)),))


# --------------------------------------------------------------------------------------------------------------- paper
def test_every_printed_value_is_there():
    cells = paper.cells()
    assert len(cells) == 406 and {c.table for c in cells} == set(range(1, 13))


def test_what_a_manifest_warns_of_stands_once_below_the_table(folder):
    for name in PLAN["models"]:
        write(folder, name, "voc2012", 10, 10, ["train has 3 images, the paper's has 10582"])
    notes = table_of(folder).notes
    assert [n for n in notes if "10582" in n] == ["voc2012: train has 3 images, the paper's has 10582."]
