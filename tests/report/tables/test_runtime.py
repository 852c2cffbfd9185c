"""Table 10 from a result of benchmarks/step.py."""

from __future__ import annotations

import json

import pytest

from cribo.report.experiment.results import ReportError
from cribo.report.experiment.step_benchmark import read_step
from cribo.report.render.to_csv import render_csv
from cribo.report.render.to_markdown import render_markdown
from cribo.report.tables.runtime import runtime_table

ROW = {"images": 16, "seconds": 0.5, "memory": 2_500_000_000, "phases": {}}
TREE = {"about": "a laptop", "K": 8, "rows": {"baseline": ROW, "global only": ROW | {"seconds": 0.25}}}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "step.json").write_text(json.dumps(TREE))
    return tmp_path / "step.json"


NOT_BESIDE = "only models of ViT-B/16 at 224 px, 128 images per process, stand beside the paper's"


def lines(table):
    rows = [line.strip("|").split("|") for line in render_markdown(table).splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_the_models_of_the_papers_backbone_stand_beside_its_own(path):
    rows = {"baseline": ROW | {"images": 128, "seconds": 0.5}, "global only": ROW, "MAE": ROW, "DINO": ROW}
    own = {"backbone": "vit_base_16", "size": 224, "K": 12, "rows": rows | {"CrIBo (K 32)": ROW | {"seconds": 0.25}}}
    path.write_text(json.dumps(TREE | own))
    found = lines(runtime_table(read_step(path)))
    assert found["CrIBo (K 12)"] == ["1024", "23:58", "83:25", "44.0", "2.5", "256.0"]  # 1,281,167 / 256 s
    assert found["CrIBo (K 32)"] == ["1024", "28:22", "333:38", "60.0", "2.5", "64.0"]
    assert found["DINO"][2] == "667:16" and found["L_cv^g alone, ours"][-1] == "32.0"
    assert found["MAE"][2] == "not run" and found["MAE, ours"][2] == "667:16"  # the paper's has 512 images a process
    assert len(found) == 8 and NOT_BESIDE not in render_markdown(runtime_table(read_step(path)))


def test_those_of_another_backbone_stand_below_the_papers_models(path):
    found = lines(runtime_table(read_step(path)))
    assert found["CrIBo (K 32)"] == ["1024", "28:22", "not run", "60.0", "not run", "not run"]
    assert found["L_cv^g alone, ours"] == ["–", "–", "333:38", "–", "2.5", "64.0"]  # 1,281,167 / 64 s
    assert found["CrIBo (K 8), ours"] == ["–", "–", "667:16", "–", "2.5", "32.0"]
    text = render_markdown(runtime_table(read_step(path)))
    assert "Ours: a laptop" in text and NOT_BESIDE in text


def test_only_what_was_measured_here_has_room_for_a_spread(path):
    header = render_csv(runtime_table(read_step(path))).splitlines()[0]
    assert header.startswith('row,batch,"epoch, mm:ss paper","epoch, mm:ss ours","epoch, mm:ss ours std",')
    assert header.endswith(",img/s ours,img/s ours std,img/s ours n")
    assert header.count(" std") == 3 and '"memory, GB paper","memory, GB ours","memory, GB ours std"' in header


def test_without_the_benchmark_our_row_says_so(tmp_path, path):
    assert lines(runtime_table(read_step(tmp_path / "absent.json")))["CrIBo (K 12)"].count("not run") == 3
    path.write_text(json.dumps(TREE | {"rows": {"baseline": ROW}}))
    assert read_step(path).profile is None and lines(runtime_table(read_step(path)))["MAE"].count("not run") == 3


@pytest.mark.parametrize(
    ("more", "printed"), [({}, True), ({"size": 96}, False), ({"backbone": "vit_small_16"}, False), ({"K": 32}, True)]
)
def test_a_profile_is_in_milliseconds_and_as_printed_for_the_papers_backbone_views_and_images(path, more, printed):
    rows = {"baseline": ROW | {"images": 128}, "phases": ROW | {"phases": {"forward_pass": 0.25, "clustering": 0.5}}}
    path.write_text(json.dumps(TREE | {"backbone": "vit_base_16", "size": 224, "K": 12, "rows": rows} | more))
    step = read_step(path)
    assert step.profile == {"forward_pass": 250.0, "clustering": 500.0} and step.paces is None
    assert (step.about, step.K, step.as_printed) == ("a laptop", more.get("K", 12), printed)


@pytest.mark.parametrize("text", ["{", "[]", '{"about": "x"}', json.dumps(TREE | {"rows": {"global only": {}}})])
def test_another_file_is_one_sentence(path, text):
    path.write_text(text)
    with pytest.raises(ReportError, match=r"step\.json is not a result of benchmarks/step\.py"):
        read_step(path)
