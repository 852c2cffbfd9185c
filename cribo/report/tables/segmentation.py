"""Tables 2, 3 and 7: segmentation by a trained decoder, best learning rate first, then the whole grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cribo.report.experiment.planned import models_by_row
from cribo.report.experiment.results import Results, of_protocol
from cribo.report.paper import values as paper
from cribo.report.tables.cautions import cautions, data_notes
from cribo.report.tables.counterparts import SEGMENTATION, models_of, printed
from cribo.report.tables.table import (
    NONE,
    NOT_RUN,
    Cell,
    Column,
    Number,
    Row,
    Table,
    Text,
    difference,
    mean_of,
    three_columns,
)

Scores = dict[tuple[str, str, float], float]  # mIoU (%) by (model, data set, learning rate); what has not run is absent


class _Wanted(NamedTuple):
    """A table to build. `setting`: as in the paper's results.csv, None if it has no such table; `name`: of the file."""

    protocol: str
    layers: int | None
    setting: str | None
    name: str
    title: str


def segmentation_tables(plan: dict, trained: dict[str, dict], results: Results) -> list[Table]:
    """Every segmentation table that the plan asks for, each followed by its whole grid of learning rates."""
    setups, tables = models_of(plan, trained), []
    for wanted in _wanted(plan):
        about, own = plan[wanted.protocol], of_protocol(results, wanted.protocol, wanted.layers)
        labels = models_by_row(plan, wanted.protocol)
        tables += [_best(plan, setups, about, labels, own, wanted), _grid(about, labels, own, wanted)]
    return tables


def _wanted(plan: dict) -> Iterator[_Wanted]:
    """The tables for which params.yaml names a data set."""
    if plan["linear_segmentation"]["datasets"]:
        for layers in plan["linear_segmentation"]["layers"]:
            setting = {1: "linear", 4: "linear_concat4"}.get(layers)
            name = "linear_segmentation" + (f"_last{layers}" if layers > 1 else "")
            what = f"last {layers} blocks concatenated" if layers > 1 else "frozen encoder"
            yield _Wanted("linear_segmentation", layers, setting, name, f"Linear segmentation, {what}, mIoU (%)")
    if plan["segmenter"]["datasets"]:
        yield _Wanted("segmenter", None, "finetune", "segmenter", "Finetuning with Segmenter, mIoU (%)")


def _values(results: Results) -> Scores:
    return {(cell.model, cell.dataset, cell.lr): float(tree["value"]) for cell, tree in results.items()}


def _best(plan: dict, setups: dict, about: dict, labels: dict[str, list[str]], own: Results, wanted: _Wanted) -> Table:
    """Build the table of the best mIoU and its learning rate per data set; where the paper has it: paper, ours and Δ."""
    setting, scores = wanted.setting, _values(own)
    columns: list[Column] = []
    cells: dict[str, list[Cell]] = {label: [] for label in labels}
    for dataset in about["datasets"]:
        known = setting is not None and dataset in paper.SEGMENTATION_DATASETS
        columns += three_columns(dataset) if known else [Column(dataset, "mIoU")]
        columns.append(Column(dataset, "lr", kind="printed"))
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
    if any(column.kind == "difference" for column in columns):
        number = {"linear": 2, "finetune": 3, "linear_concat4": 7}[setting]
        notes.append(f"Paper: {paper.SOURCE}, Table {number}; – where it has no model set up like ours.")
    rows = tuple(Row(label, tuple(row)) for label, row in cells.items())
    notes += cautions(columns, rows, labels, own, setups)
    return Table(wanted.name, f"{wanted.title}. {plan['title']}", tuple(columns), rows, tuple(notes))


def _best_cells(models: list[str], dataset: str, rates: list[float], scores: Scores) -> tuple[Cell, Cell]:
    """The mean of the models' best values, and the learning rates that gave them."""
    best = []
    for model in models:
        if own := [(scores[model, dataset, lr], -rates.index(lr), lr) for lr in rates if (model, dataset, lr) in scores]:
            best.append(max(own))
    if not best:
        return NOT_RUN, NONE
    winners = Text(", ".join(sorted({f"{lr:g}" for _, _, lr in best})))
    return mean_of([value for value, _, _ in best]), winners


def _grid(about: dict, labels: dict[str, list[str]], own: Results, wanted: _Wanted) -> Table:
    """Build the table of mIoU at every learning rate, with one row per model."""
    scores = _values(own)
    columns = [Column(dataset, f"lr {lr:g}") for dataset in about["datasets"] for lr in about["learning_rates"]]
    rows = []
    for label, models in labels.items():
        for model in models:
            found = [scores.get((model, dataset, lr)) for dataset in about["datasets"] for lr in about["learning_rates"]]
            row = tuple(NOT_RUN if value is None else Number(value) for value in found)
            rows.append(Row(label if len(models) == 1 else f"{label} ({model})", row))
    title = f"{wanted.title}, every learning rate"
    return Table(f"{wanted.name}_grid", title, tuple(columns), tuple(rows), data_notes(own))
