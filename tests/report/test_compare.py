"""Two experiments of one repository as a page."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cribo.report.compare import Here, There, compare, main
from cribo.report.experiment.results import ReportError
from tests.edits import DEMO, edited
from tests.report.pages import experiment, score, write


def git(root, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path) -> Path:
    experiment(tmp_path / "results")
    (tmp_path / "params.yaml").write_text(DEMO)
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    return tmp_path


def test_scores_curves_and_parameters_of_a_revision_stand_beside_those_here(root):
    (root / "params.yaml").write_text(edited("pretrain.clustering.lambda_pos", "4.5"))
    write(root / "results/scores/dense_nn/cribo-scenes.json", score("cribo", 22.6))
    (root / "results/scores/dense_nn/global-scenes.json").unlink()
    curves = root / "results/pretrain/cribo/curves.csv"
    curves.write_text(curves.read_text().replace("4.0", "3.5"))
    html = compare(There(root, "main"), Here(root), "main")
    assert "+2.50" in html and "pretrain.clustering.lambda_pos" in html and "4.5" in html and "not run" in html
    assert "pretrain.clustering.K" not in html
    assert html.count("<svg") == 2 and "cribo: loss" in html and "2 models with the same curves on both sides." in html
    assert html == compare(There(root, "main"), Here(root), "main")


def test_from_another_folder_a_sentence_says_where_to_run_it(root, monkeypatch):
    (root / "docs").mkdir()
    monkeypatch.chdir(root / "docs")
    with pytest.raises(ReportError, match=r"no results/ here: run it from the folder that holds dvc.yaml"):
        main("HEAD")


def test_in_a_folder_of_a_larger_repository_that_folder_is_compared(root):
    inner = root / "inner"
    experiment(inner / "results")
    (inner / "params.yaml").write_text(DEMO)
    write(inner / "results/scores/dense_nn/cribo-scenes.json", score("cribo", 90.0))
    git(root, "add", ".")
    git(root, "commit", "-m", "two")
    write(inner / "results/scores/dense_nn/cribo-scenes.json", score("cribo", 91.5))
    html = compare(There(inner, "main"), Here(inner), "main")
    assert "90.00" in html and "+1.50" in html and "params.yaml is the same" in html and "20.10" not in html


def test_a_result_that_params_yaml_no_longer_asks_for_is_left_out(root):
    (root / "params.yaml").write_text(edited("evaluate.models", "[random, cribo]"))
    html = compare(There(root, "main"), Here(root), "main")
    assert html.count("dense_nn/global-scenes") == 1 and "not run" in html  # here; there it was asked for
    write(root / "results/scores/knn/cribo-scenes.json", score("cribo", 9.9))
    assert "knn/cribo-scenes" not in compare(There(root, "main"), Here(root), "main")


def test_of_a_revision_whose_params_this_version_cannot_read_every_result_is_shown(root):
    (root / "params.yaml").write_text("an: earlier version's\n")
    write(root / "results/scores/knn/cribo-scenes.json", score("cribo", 9.9))
    assert "knn/cribo-scenes" in compare(There(root, "main"), Here(root), "main")


def test_an_unknown_revision_is_one_sentence(root):
    with pytest.raises(ReportError, match="git knows no revision nowhere here: give a branch"):
        There(root, "nowhere")


def test_outside_git_the_repository_is_missing_and_not_the_revision(tmp_path):
    with pytest.raises(ReportError, match="is in no git repository"):
        There(tmp_path, "main")


SCORE = "results/scores/dense_nn/cribo-scenes.json"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (SCORE, b"[1]", r"cribo-scenes\.json is not a result, as it has no number called `value`: "),
        (SCORE, b'{"model": "cribo"}', r"cribo-scenes\.json is not a result"),
        (SCORE, b'{"value": "22"}', r"cribo-scenes\.json is not a result"),
        (SCORE, b'{"value": NaN}', r"cribo-scenes\.json is not a result"),
        (SCORE, b"{", r"cribo-scenes\.json cannot be read as JSON \(.*\): "),
        (SCORE, b"{}\n\xe9", r"cribo-scenes\.json:2: is not UTF-8: save it as UTF-8$"),
        ("params.yaml", b"a: 1\nb: [1", r"params\.yaml:2: is not valid YAML here or just above"),
        ("params.yaml", b"- 1", r"params\.yaml: must be a mapping"),
        ("params.yaml", b"a: 1\nb: \xe9", r"params\.yaml:2: is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_on_either_side(root, name, content, says):
    good = (root / name).read_bytes()
    (root / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{'results/.*' if name == SCORE else ''}{says}"):
        compare(There(root, "main"), Here(root), "main")
    git(root, "commit", "-am", "broken")
    (root / name).write_bytes(good)
    with pytest.raises(ValueError, match=f"^main:.*{says}") as error:
        compare(There(root, "main"), Here(root), "main")
    assert len(str(error.value).splitlines()) == 1 and "delete it" not in str(error.value)


def test_a_date_in_params_yaml_is_shown(root):
    (root / "params.yaml").write_text("since: 2024-05-06\n")
    assert "2024-05-06" in compare(There(root, "main"), Here(root), "main")


def test_without_git_the_command_says_that_it_is_missing(root, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ReportError, match=r"^git is not installed, and main is read by it: "):
        There(root, "main")


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("results", "^OUT results is a folder: name a file in it"),
        ("params.yaml/x.html", r"^OUT params.yaml/x\.html: no folder params\.yaml can be made \(File exists\): correct"),
        ("params.yaml/a/x.html", r"^OUT params.yaml/a/x\.html: no folder params\.yaml/a can be made \(Not a directory\)"),
    ],
)
def test_an_out_that_cannot_be_written_is_one_sentence_before_anything_is_compared(root, out, says, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setattr("cribo.report.compare.compare", lambda *_: pytest.fail("compares"))
    with pytest.raises(ReportError if "x.html" in out else ValueError, match=says):
        main("main", out)


def test_a_revision_without_results_is_no_comparison(root, monkeypatch):
    git(root, "rm", "-rq", "--cached", "results")
    git(root, "commit", "-m", "none")
    monkeypatch.chdir(root)
    with pytest.raises(ReportError, match=r"main holds no results: commit dvc\.lock and results/ there first"):
        main("main")
    assert not (root / "results/compare.html").exists()
