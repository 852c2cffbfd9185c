"""results/tables/scores.csv, from which model cards are made: every score of an experiment at full precision, one per line.

A card depends only on this file. If it depended on every result, a pipeline of many models would have an edge from each
result to each model, and DVC and Snakemake would spend minutes on them.
"""

from __future__ import annotations

import csv
import io

from cribo.report.experiment.planned import Planned
from cribo.report.experiment.results import Results, as_result

COLUMNS = ("model", "protocol", "dataset", "value", "what")


def score_list(results: Results) -> str:
    """The scores as CSV, in percent and in the plan's order."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for cell, tree in results.items():
        lines.writerow((cell.model, cell.protocol, cell.dataset, tree["value"], _what(cell, tree)))
    return text.getvalue()


def _what(cell: Planned, tree: dict) -> str:
    """What the value is, and the warnings of the data set's manifest: a model card repeats them."""
    with as_result(cell):
        said = tree["protocol"].get("value")
        said = said or f"mIoU with {tree['layers']} layers at learning rate {tree['learning_rate']:g}"
    return "; ".join((said, *tree.get("data_warnings", ())))
