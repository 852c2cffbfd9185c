"""The table of dense nearest-neighbour retrieval: a row per row label, columns by data set and share of training images."""

from __future__ import annotations

from cribo.report.experiment.planned import Planned, models_by_row
from cribo.report.experiment.results import Results, of_protocol
from cribo.report.paper import values as paper
from cribo.report.tables.cautions import cautions
from cribo.report.tables.counterparts import models_of, printed
from cribo.report.tables.table import NONE, NOT_RUN, Cell, Column, Number, Row, Table, difference, mean_of, three_columns


def dense_nn_table(plan: dict, trained: dict[str, dict], results: Results) -> Table:
    """Build a table with one row per row label, in the order of params.yaml; models that share a label are averaged.

    A data set has a column of patch mIoU for each factor, the smallest last as in the paper, then pixel mIoU at the smallest
    factor and the ratio to the reference model. Where the paper evaluates the data set, a factor has three columns: the
    paper's value, ours, the difference.
    """
    labels = models_by_row(plan, "dense_nn")
    setups, own = models_of(plan, trained), of_protocol(results, "dense_nn")
    factors = sorted(set(plan["dense_nn"]["subsample"]), reverse=True)
    columns: list[Column] = []
    cells: dict[str, list[Cell]] = {label: [] for label in labels}
    for dataset in plan["dense_nn"]["datasets"]:
        columns += _columns(dataset, factors)
        reference = _average(labels[plan["models"][plan["reference"]]["row"]], dataset, factors[-1], "patch", own)
        for label, models in labels.items():
            cells[label] += _cells(setups, models, dataset, factors, reference, own)
    title = f"Dense nearest neighbours, mIoU (%). {plan['title']}"
    rows = tuple(Row(label, tuple(row)) for label, row in cells.items())
    notes = (*_notes(plan, factors), *cautions(columns, rows, labels, own, setups))
    return Table("dense_nn", title, tuple(columns), rows, notes)


def _columns(dataset: str, factors: list[int]) -> list[Column]:
    columns: list[Column] = []
    for share in (f"1/{factor}" for factor in factors):
        columns += three_columns(dataset, share) if dataset in paper.DATASETS else [Column(dataset, share)]
    return [
        *columns,
        Column(dataset, f"1/{factors[-1]} pixels"),
        Column(dataset, f"1/{factors[-1]} ×", digits=2, kind="ratio"),
    ]


def _cells(
    setups: dict[str, dict], models: list[str], dataset: str, factors: list[int], reference: Cell, results: Results
) -> list[Cell]:
    cells: list[Cell] = []
    for factor in factors:
        ours = _average(models, dataset, factor, "patch", results)
        if dataset in paper.DATASETS:
            theirs = printed([setups[model] for model in models], ("dense_nn", dataset, f"1/{factor}"))
            cells += [theirs, ours, difference(ours, theirs)]
        else:
            cells.append(ours)
    known = isinstance(ours, Number) and isinstance(reference, Number) and reference.value > 0
    return [
        *cells,
        _average(models, dataset, factors[-1], "pixel", results),
        Number(ours.value / reference.value) if known else NONE,
    ]


def _average(models: list[str], dataset: str, factor: int, level: str, results: Results) -> Cell:
    """For one model, its mean and spread between runs; for several, mean and spread of the means of those that have run."""
    trees = [results[cell] for model in models if (cell := Planned("dense_nn", model, dataset)) in results]
    scores = [tree[level][share] for tree in trees if (share := f"1/{factor}") in tree[level]]
    if not scores:
        return NOT_RUN
    if len(models) == 1:
        return Number(scores[0]["mean"], scores[0]["std"], len(scores[0]["runs"]))
    return mean_of([score["mean"] for score in scores])


def _notes(plan: dict, factors: list[int]) -> tuple[str, ...]:
    foreign = [name for name in plan["dense_nn"]["datasets"] if name not in paper.DATASETS]
    notes = [
        f'1/n: share of the training images in memory. Patch mIoU; "pixels" is pixel mIoU. ×: patch mIoU at '
        f"1/{factors[-1]} as a multiple of {plan['models'][plan['reference']]['row']}'s. ±: standard deviation (n − 1) "
        "between draws of the training images."
    ]
    if len(foreign) < len(plan["dense_nn"]["datasets"]):
        notes.append(f"Paper: {paper.SOURCE}, Tables 1, 4, 5, 11 and 12; – where it has no model set up like ours.")
    if foreign:
        notes.append(f"The paper has no values for {', '.join(foreign)}.")
    return tuple(notes)
