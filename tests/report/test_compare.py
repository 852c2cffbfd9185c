"""Two experiments of one repository as a page."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cribo.report.compare import Here, There, compare, main
from cribo.report.results import ReportError
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
    html = compare(There(root, "main"), Here(root), "main")
    assert "+2.50" in html and "pretrain.clustering.lambda_pos" in html and "4.5" in html and "not run" in html
    assert "pretrain.clustering.K" not in html and "<svg" in html
    assert html == compare(There(root, "main"), Here(root), "main")


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


def test_a_revision_without_results_is_no_comparison(root, monkeypatch):
    git(root, "rm", "-rq", "--cached", "results")
    git(root, "commit", "-m", "none")
    monkeypatch.chdir(root)
    with pytest.raises(ReportError, match=r"main holds no results: commit dvc\.lock and results/ there first"):
        main("main")
    assert not (root / "results/compare.html").exists()
