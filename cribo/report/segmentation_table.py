"""Tables 2, 3 and 7: segmentation by a trained decoder, best learning rate first, then the whole grid."""

from __future__ import annotations

import json
import statistics
from numbers import Real
from pathlib import Path

from cribo.report import paper
from cribo.report.counterparts import SEGMENTATION, models_of, printed
from cribo.report.results import ReportError
from cribo.report.table import NONE, NOT_RUN, Cell, Column, Number, Row, Table, Text, difference

Scores = dict[tuple[str, str, float], float]  # mIoU (%) by (model, data set, learning rate); what has not run is absent


def segmentation_tables(plan: dict, trained: dict[str, dict], folder: str | Path) -> list[Table]:
    """Every table of segmentation that the plan asks for, from the results under `folder` (results/scores).

    Raises:
        ReportError: a result is corrupt, or about something else.
    """
    setups, tables = models_of(plan, trained), []
    for protocol, layers, setting, name, title in _wanted(plan):
        about = plan[protocol]
        scores = _read(Path(folder) / protocol, about, layers)
        labels: dict[str, list[str]] = {}
        for model in about["models"]:
            labels.setdefault(plan["models"][model]["row"], []).append(model)
        tables += [
            _best(plan, setups, about, labels, scores, setting, name, title),
            _grid(about, labels, scores, name, title),
        ]
    return tables


def _wanted(plan: dict):
    """(protocol, layers, the paper's setting, file name, title) of each table with a data set."""
    if plan["linear_segmentation"]["datasets"]:
        for layers in plan["linear_segmentation"]["layers"]:
            setting = {1: "linear", 4: "linear_concat4"}.get(layers)
            name = "linear_segmentation" + (f"_last{layers}" if layers > 1 else "")
            what = f"last {layers} blocks concatenated" if layers > 1 else "frozen encoder"
            yield "linear_segmentation", layers, setting, name, f"Linear segmentation, {what}, mIoU (%)"
    if plan["segmenter"]["datasets"]:
        yield "segmenter", None, "finetune", "segmenter", "Finetuning with Segmenter, mIoU (%)"


def _read(folder: Path, about: dict, layers: int | None) -> Scores:
    middle = "" if layers is None else f"last{layers}-"
    found = {}
    for model in about["models"]:
        for dataset in about["datasets"]:
            for lr in about["learning_rates"]:
                path = folder / f"{model}-{dataset}-{middle}{lr}.json"
                if path.exists():
                    found[model, dataset, lr] = _value(path, (model, dataset, lr))
    return found


def _value(path: Path, about: tuple[str, str, float]) -> float:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        value, found = tree["value"], (tree["model"], tree["dataset"], tree["learning_rate"])
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ReportError(f"{path} is no segmentation result ({error!r}): delete it and run its stage again") from None
    if not isinstance(value, Real) or found != about:
        raise ReportError(f"{path} is about {found} with value {value}, not {about}: delete it and run its stage again")
    return float(value)


def _best(
    plan: dict, setups: dict, about: dict, labels: dict, scores: Scores, setting: str | None, name: str, title: str
) -> Table:
    """For each data set the best mIoU and its learning rate; where the paper has the data set, paper, ours and Δ."""
    columns: list[Column] = []
    cells: dict[str, list[Cell]] = {label: [] for label in labels}
    for dataset in about["datasets"]:
        known = setting is not None and dataset in paper.SEGMENTATION_DATASETS
        columns += [
            *([Column(dataset, "paper", kind="printed")] if known else []),
            Column(dataset, "ours" if known else "mIoU"),
            *([Column(dataset, "Δ", kind="difference")] if known else []),
            Column(dataset, "lr", kind="printed"),
        ]
        for label, models in labels.items():
            ours, rates = _best_cells(models, dataset, about["learning_rates"], scores)
            if known:
                protocol, layers = SEGMENTATION[setting]
                theirs = printed([setups[model] for model in models], (protocol, dataset, layers))
                cells[label] += [theirs, ours, difference(ours, theirs), rates]
            else:
                cells[label] += [ours, rates]
    notes = [
        "Best over the learning rates on the val split, as the paper reports; lr: which that was. The whole grid is below."
    ]
    if any(len(models) > 1 for models in labels.values()):
        notes.append("Rows of several models give the mean of their best, and ± is the deviation between models.")
    if any(column.kind == "difference" for column in columns):
        number = {"linear": 2, "finetune": 3, "linear_concat4": 7}[setting]
        notes.append(f"Paper: {paper.SOURCE}, Table {number}; – where it has no model set up like ours.")
    rows = tuple(Row(label, tuple(own)) for label, own in cells.items())
    return Table(name, f"{title}. {plan['title']}", tuple(columns), rows, tuple(notes))


def _best_cells(models: list[str], dataset: str, rates: list[float], scores: Scores) -> tuple[Cell, Cell]:
    """Mean of the models' best, and the learning rates where they were."""
    best = []
    for model in models:
        if own := [(scores[model, dataset, lr], -rates.index(lr), lr) for lr in rates if (model, dataset, lr) in scores]:
            best.append(max(own))
    if not best:
        return NOT_RUN, NONE
    values = [value for value, _, _ in best]
    std = statistics.stdev(values) if len(values) > 1 else None
    return Number(statistics.fmean(values), std, len(values)), Text(", ".join(sorted({f"{lr:g}" for _, _, lr in best})))


def _grid(about: dict, labels: dict, scores: Scores, name: str, title: str) -> Table:
    """mIoU of every learning rate; a row a model."""
    columns = [Column(dataset, f"lr {lr:g}") for dataset in about["datasets"] for lr in about["learning_rates"]]
    rows = []
    for label, models in labels.items():
        for model in models:
            found = [scores.get((model, dataset, lr)) for dataset in about["datasets"] for lr in about["learning_rates"]]
            own = tuple(NOT_RUN if value is None else Number(value) for value in found)
            rows.append(Row(label if len(models) == 1 else f"{label} ({model})", own))
    return Table(f"{name}_grid", f"{title}, every learning rate", tuple(columns), tuple(rows))
