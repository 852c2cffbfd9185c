"""What a Snakemake user expects of any workflow: lint, report, a record of what each job cost."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

WAIVED = {"No log directive defined", "Specify a conda environment or container for each rule."}  # reasons: the Snakefile


def test_lint_finds_only_what_is_waived_with_a_reason(tree):
    said = tree.do("snakemake", "--lint", code=None)
    assert set(re.findall(r"^ +\* (.+?):?$", said, re.MULTILINE)) == WAIVED


def test_the_report_and_the_records_of_costs_hold_the_jobs_that_ran(tree):
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    tree.snakemake("all")
    ran = tree.ran()
    assert ran
    tree.do("snakemake", "--report", "report.html")
    page = (tree.root / "report.html").read_text()
    assert all(f"run_{stage}" in page for stage in ran)
    for stage in ran:
        [turn] = csv.DictReader((tree.root / f"results/logs/costs/{stage}.tsv").open(), delimiter="\t")
        assert turn["exit"] == "0" and float(turn["seconds"]) > 0 and float(turn["max_rss_mb"]) > 1
    assert tree.planned() == set() and tree.stale() == set()


def test_python_may_lie_in_a_folder_whose_name_has_a_space(tree, tmp_path):
    python = tmp_path / "my env/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    python.with_name("dvc").symlink_to(Path(sys.executable).with_name("dvc"))
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    packages = os.pathsep.join(filter(None, sys.path))  # those of its environment, which the link is not in
    tree.do(str(python), "-m", "snakemake", "-c1", "judge@large-voc", PYTHONPATH=packages, PYTHONNOUSERSITE="1")
    assert tree.ran() == ["judge@large-voc"]


def test_make_finds_its_environment_in_a_folder_whose_name_has_a_space(tmp_path):
    folder = tmp_path / "my cribo"
    (folder / ".venv").mkdir(parents=True)
    for file in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(Path(file).absolute(), folder)
    (folder / ".venv/.complete").touch()
    said = subprocess.run(["make", "--dry-run", "env"], cwd=folder, capture_output=True, text=True).stdout
    assert "Nothing to be done" in said and "venv" not in said
