"""The files that are read are those that dvc.yaml writes for params.yaml as it is, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from cribo import params, plan
from cribo.params.evaluate import PROTOCOLS
from cribo.report.experiment.planned import Planned, planned
from cribo.report.experiment.results import ReportError, of_protocol, read_results
from cribo.report.page.overview import NAMES, report
from cribo.report.tables.every import own_tables
from cribo.report.tables.score_list import score_list
from tests.edits import DEMO, edited, judging
from tests.report.pages import experiment, score, write

RATES = "[8.0e-4, 8.0e-5, 1, 2.0]"  # as DVC writes them: 0.0008, 8e-05, 1, 2.0


def everything() -> str:
    """The demo, judged by every protocol."""
    text = DEMO
    for protocol in PROTOCOLS[1:]:
        text = judging(protocol, "{scenes: {}}" if protocol in ("linear_segmentation", "segmenter") else "[scenes]", text)
        if protocol in ("linear_segmentation", "segmenter"):
            text = edited(f"evaluate.{protocol}.learning_rates", RATES, text)
    return edited("evaluate.linear_segmentation.layers", "[1, 3]", text)


def plan_of(text: str) -> dict:
    return plan.plan(params.parse(text, Path("params.yaml")))["report"]


def test_every_result_of_dvc_yaml_is_planned_under_its_name(tmp_path):
    Repo.init(tmp_path, no_scm=True).close()
    (tmp_path / "params.yaml").write_text(everything())
    (tmp_path / "dvc.yaml").write_text(Path("dvc.yaml").read_text())
    with Repo(tmp_path) as repo:
        paths = (Path(out.fs_path).relative_to(tmp_path) for stage in repo.index.stages for out in stage.outs)
        written = {path for path in paths if path.match("results/scores/*/*.json")}
    cells = planned(plan_of(everything()))
    assert {cell.path(Path("results")) for cell in cells} == written
    assert len(cells) == len(written) and {cell.protocol for cell in cells} == set(PROTOCOLS)


def test_every_protocol_has_a_table_and_a_name_on_the_page():
    tables = {table.name for table in own_tables(plan_of(everything()), {}, {})}
    without = [protocol for protocol in PROTOCOLS if not any(name.startswith(protocol) for name in tables)]
    assert not without and set(NAMES) == set(PROTOCOLS)


def linear(model: str, layers: int, lr: float, value: float) -> dict:
    return score(model, value, layers=layers, learning_rate=lr, protocol={}, per_class={"blob": value})


@pytest.fixture
def stale(tmp_path):
    """Plan and results of a linear decoder on one layer at 8e-4, beside files of cells that have left params.yaml."""
    text = edited("evaluate.linear_segmentation.learning_rates", "[8.0e-4]", judging("linear_segmentation", "{scenes: {}}"))
    settings = experiment(tmp_path, text)
    for model in ("random", "cribo", "global"):
        for layers, lr, value in ((1, 8e-4, 41.5), (1, 1e-2, 77.5), (4, 8e-4, 88.5)):
            cell = Planned("linear_segmentation", model, "scenes", layers, lr)
            write(cell.path(tmp_path), linear(model, layers, lr, value))
    for protocol in ("yolos", "knn"):
        write(Planned(protocol, "cribo", "scenes").path(tmp_path), score("cribo", 99.5, protocol={"value": "AP"}))
    return settings, tmp_path


def test_no_card_curve_cost_version_or_list_shows_a_result_that_has_left_the_plan(stale):
    settings, folder = stale
    html = re.sub("<svg.*?</svg>", "", report(settings, folder)[0], flags=re.S)
    assert "41.5 <small>%" in html and not any(old in html for old in ("77.5", "88.5", "99.5", "last4", "yolos@"))
    decoders = of_protocol(read_results(settings, folder), "linear_segmentation", 1)
    assert [line.split(",")[3] for line in score_list(decoders).splitlines()] == ["value", "41.5", "41.5"]


def test_a_card_is_of_one_number_of_layers(stale):
    settings, folder = stale
    settings["linear_segmentation"]["layers"] = [1, 4]
    html, _ = report(settings, folder)
    cards = html.partition('<div class="cards">')[2].partition("<h3>")[0]
    assert "linear segmentation, mIoU, scenes</span><b>41.5" in cards
    assert "linear segmentation, mIoU, last 4 blocks, scenes</span><b>88.5" in cards


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read as JSON"),
        ('{"value": NaN}', "cannot be read as JSON .it holds NaN"),
        ("[]", "is not a result of linear_segmentation"),
        ('{"model": "cribo", "dataset": "scenes", "value": 1}', "is not a result of linear_segmentation"),
        ('{"model": "cribo", "dataset": "scenes", "value": "x", "layers": 1, "learning_rate": 8e-4}', "is not a result"),
        (
            '{"model": "cribo", "dataset": "scenes", "value": 1, "layers": 4, "learning_rate": 8e-4}',
            r"is about cribo-scenes-last4-0\.0008, not cribo-scenes-last1-0\.0008",
        ),
    ],
)
def test_a_file_that_is_no_result_of_its_cell_is_one_sentence(stale, text, says):
    settings, folder = stale
    Planned("linear_segmentation", "cribo", "scenes", 1, 8e-4).path(folder).write_text(text)
    with pytest.raises(ReportError, match=rf"cribo-scenes-last1-0\.0008\.json {says}") as raised:
        read_results(settings, folder)
    assert "\n" not in str(raised.value)


def test_plans_of_an_earlier_kind_have_fewer_protocols():
    assert planned(yaml.safe_load("knn: {models: [a], datasets: [b]}")) == [Planned("knn", "a", "b")]
