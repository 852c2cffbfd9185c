"""Tables of the protocols that give a model one number or a few on a data set: image-level k-NN and YOLOS."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from cribo.report import paper
from cribo.report.counterparts import models_of, printed
from cribo.report.results import ReportError
from cribo.report.table import NOT_RUN, Cell, Column, Number, Row, Table, difference

Results = dict[tuple[str, str], dict[str, float]]  # metrics by (model, data set); a pair without a result is absent


@dataclass(frozen=True)
class Kind:
    """protocol: its folder of results; metrics: fields of a result → what the paper calls them; tables: of the paper."""

    protocol: str
    title: str
    metrics: dict[str, str]
    tables: str
    note: str


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


def read_values(kind: Kind, plan: dict, folder: str | Path) -> Results:
    """The results that the plan names and that exist. Raises ReportError for one that is corrupt."""
    found = {}
    for dataset in plan[kind.protocol]["datasets"]:
        for model in plan[kind.protocol]["models"]:
            path = Path(folder) / kind.protocol / f"{model}-{dataset}.json"
            if path.exists():
                found[model, dataset] = _read(path, kind, model, dataset)
    return found


def _read(path: Path, kind: Kind, model: str, dataset: str) -> dict[str, float]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        about, values = (tree["model"], tree["dataset"]), {metric: tree[metric] for metric in kind.metrics}
        if not all(isinstance(value, Real) for value in values.values()):
            raise ValueError(values)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ReportError(f"{path} is no result of {kind.protocol} ({error!r}): delete it and run its stage again") from None
    if about != (model, dataset):
        raise ReportError(f"{path} is about {about[0]} on {about[1]}, not {model} on {dataset}")
    return values


def value_table(kind: Kind, plan: dict, trained: dict[str, dict], results: Results) -> Table:
    """A row for each row label, in the order of params.yaml; models that share a label are averaged.

    A data set has a column a metric; where the paper evaluates it, three: the paper's value, ours, the difference.
    """
    labels: dict[str, list[str]] = {}
    for model in plan[kind.protocol]["models"]:
        labels.setdefault(plan["models"][model]["row"], []).append(model)
    setups = models_of(plan, trained)
    columns: list[Column] = []
    cells: dict[str, list[Cell]] = {label: [] for label in labels}
    for dataset in plan[kind.protocol]["datasets"]:
        for metric, name in kind.metrics.items():
            known = dataset in paper.VALUE_DATASETS[kind.protocol]
            if known:
                columns += [Column(dataset, f"{name} paper", kind="printed"), Column(dataset, f"{name} ours")]
                columns.append(Column(dataset, f"{name} Δ", kind="difference"))
            else:
                columns.append(Column(dataset, name))
            for label, models in labels.items():
                ours = _mean([results[m, dataset][metric] for m in models if (m, dataset) in results])
                if known:
                    theirs = printed([setups[model] for model in models], (kind.protocol, dataset, name))
                    cells[label] += [theirs, ours, difference(ours, theirs)]
                else:
                    cells[label].append(ours)
    notes = [kind.note]
    if any(column.kind == "printed" for column in columns):
        notes.append(f"Paper: {paper.SOURCE}, {kind.tables}; – where it has no model set up like ours.")
    rows = tuple(Row(label, tuple(own)) for label, own in cells.items())
    return Table(kind.protocol, f"{kind.title}. {plan['title']}", tuple(columns), rows, tuple(notes))


def _mean(values: list[float]) -> Cell:
    if not values:
        return NOT_RUN
    return Number(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))
