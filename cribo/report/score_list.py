"""Every score of an experiment on a line, at full precision: results/tables/scores.csv, from which model cards are made.

A card depends on this one file. Were it to depend on every result, a pipeline of many models would have an edge from each
result to each model, and DVC and Snakemake would spend minutes on them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from cribo.report.results import ReportError

COLUMNS = ("model", "protocol", "dataset", "value", "what")


def score_list(plan: dict, scores: Path) -> str:
    """The CSV. Value: percent. Order: by file. `plan` is results/plan/report.yaml, `scores` results/scores."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows(_lines(plan, scores))
    return text.getvalue()


def _lines(plan: dict, scores: Path) -> Iterator[tuple[str, str, str, float, str]]:
    for path in sorted(scores.glob("*/*.json")):
        cells = plan.get(path.parent.name, {"models": (), "datasets": ()})
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            if tree["model"] in cells["models"] and tree["dataset"] in cells["datasets"]:
                yield tree["model"], path.parent.name, tree["dataset"], tree["value"], _what(tree)
        except (ValueError, KeyError, TypeError) as error:
            raise ReportError(f"{path} is no result ({error!r}): delete it and run its stage again") from None


def _what(tree: dict) -> str:
    said = tree["protocol"].get("value")
    return said or f"mIoU with {tree['layers']} layers at learning rate {tree['learning_rate']:g}"
