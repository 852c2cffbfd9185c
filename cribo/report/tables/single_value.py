"""Tables of the protocols that yield one or a few numbers per model and data set: open-hummingbird, k-NN and YOLOS."""

from __future__ import annotations

from dataclasses import dataclass

from cribo.report.experiment.planned import Planned, models_by_row
from cribo.report.experiment.results import Results, of_protocol
from cribo.report.paper import values as paper
from cribo.report.tables.cautions import cautions
from cribo.report.tables.counterparts import models_of, printed
from cribo.report.tables.table import NOT_RUN, Cell, Column, Row, Table, difference, mean_of, three_columns


@dataclass(frozen=True)
class Kind:
    """`protocol`: name of its results folder; `metrics`: field of a result → column, named as in the paper's `tables`."""

    protocol: str
    title: str
    metrics: dict[str, str]
    tables: str
    note: str


HUMMINGBIRD = Kind(
    "hummingbird",
    "Open-hummingbird, pixel mIoU (%)",
    {"mIoU": "mIoU", "mIoU_unmatched": "unmatched"},
    "",
    "The community's protocol and not the paper's, with which no value here is comparable. mIoU: as "
    "evaluate.hummingbird.match_classes says, after the best matching of predicted to true classes; unmatched: without it.",
)
KNN = Kind(
    "knn",
    "k-NN classification of images, top-1 accuracy (%)",
    {"value": "top1"},
    "Table 5",
    "The best of the k that params.yaml lists; the paper does not state its k.",
)
YOLOS = Kind(
    "yolos",
    "Detection by YOLOS, box AP (%)",
    {"AP": "AP", "AP50": "AP50", "AP75": "AP75"},
    "Tables 5 and 6",
    "AP over IoU 0.50 to 0.95.",
)


def value_table(kind: Kind, plan: dict, trained: dict[str, dict], results: Results) -> Table:
    """Build a table with one row per row label, in the order of params.yaml; models that share a label are averaged.

    A data set has one column per metric, or three where the paper evaluates it: the paper's value, ours, the difference.
    """
    labels = models_by_row(plan, kind.protocol)
    setups, own = models_of(plan, trained), of_protocol(results, kind.protocol)
    columns: list[Column] = []
    cells: dict[str, list[Cell]] = {label: [] for label in labels}
    for dataset in plan[kind.protocol]["datasets"]:
        known = dataset in paper.VALUE_DATASETS.get(kind.protocol, ())
        for metric, name in kind.metrics.items():
            columns += three_columns(dataset, name) if known else [Column(dataset, name)]
            for label, models in labels.items():
                there = (Planned(kind.protocol, model, dataset) for model in models)
                values = [own[cell][metric] for cell in there if cell in own]
                ours = mean_of(values) if values else NOT_RUN
                if known:
                    theirs = printed([setups[model] for model in models], (kind.protocol, dataset, name))
                    cells[label] += [theirs, ours, difference(ours, theirs)]
                else:
                    cells[label].append(ours)
    notes = [kind.note]
    if any(column.kind == "printed" for column in columns):
        notes.append(f"Paper: {paper.SOURCE}, {kind.tables}; – where it has no model set up like ours.")
    rows = tuple(Row(label, tuple(row)) for label, row in cells.items())
    notes += cautions(columns, rows, labels, own, setups)
    return Table(kind.protocol, f"{kind.title}. {plan['title']}", tuple(columns), rows, tuple(notes))
