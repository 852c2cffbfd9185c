"""What a Snakemake user expects of any workflow: lint, report, a record of what each job cost."""

import csv
import re

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
