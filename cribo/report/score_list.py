"""Every score of an experiment on a line, at full precision: results/tables/scores.csv, from which model cards are made.

A card depends on this one file. Were it to depend on every result, a pipeline of many models would have an edge from each
result to each model, and DVC and Snakemake would spend minutes on them.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from cribo.report.results import ReportError, results_of

COLUMNS = ("model", "protocol", "dataset", "value", "what")


def score_list(plan: dict, results: Path) -> str:
    """The CSV. Value: percent. Order: by protocol, then by file. `plan` is results/plan/report.yaml."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for protocol, name, tree in results_of(plan, results):
        try:
            lines.writerow((tree["model"], protocol, tree["dataset"], tree["value"], _what(tree)))
        except (KeyError, TypeError) as error:
            path = results / "scores" / protocol / f"{name}.json"
            raise ReportError(f"{path} is no result of {protocol} ({error!r}): delete it and run its stage again") from None
    return text.getvalue()


def _what(tree: dict) -> str:
    said = tree["protocol"].get("value")
    return said or f"mIoU with {tree['layers']} layers at learning rate {tree['learning_rate']:g}"
