"""The paper's Tables 1 to 12 in its own layout, each value in three columns: the paper's, ours, the difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from cribo.report.experiment.results import Results
from cribo.report.experiment.step_benchmark import StepBenchmark
from cribo.report.paper import values as paper
from cribo.report.paper.notes import MARK_NOTES, MARKS, NOTES
from cribo.report.paper.values import Printed
from cribo.report.tables.cautions import data_notes, settings_notes
from cribo.report.tables.counterparts import CYCLE_GRID
from cribo.report.tables.ours import Ours
from cribo.report.tables.runtime import COMMAND, runtime_table
from cribo.report.tables.table import NONE, NOT_RUN, Cell, Column, Number, Row, Table, Text, difference, three_columns
from cribo.report.tables.training_notes import photos_notes, training_notes


@dataclass(frozen=True)
class Layout:
    """`row`: printed cell → the texts that name its row: the label, then one per stub. `column`: cell → group and name."""

    title: str
    stubs: tuple[str, ...]
    row: Callable[[Printed], tuple[str, ...]]
    column: Callable[[Printed], tuple[str, str]]


def _model(cell: Printed) -> tuple[str, ...]:
    return f"{cell.method}{MARKS[cell.reproduction_note]}", cell.backbone, cell.pretrain_dataset, cell.epochs


def _dataset(cell: Printed) -> tuple[str, str]:
    return cell.eval_dataset, ""


def _tick(on: bool) -> str:
    return "✓" if on else "✗"


def _swept(cell: Printed) -> tuple[str, str]:
    """The hyper-parameter that a value of Table 4 sweeps, and its value."""
    name, key = {"ablation_lambda_pos": ("λ_pos", "lambda_pos"), "ablation_S": ("S", "S"), "ablation_K": ("K", "K")}[
        cell.setting
    ]
    value = cell.factor[key]
    return name, f"{value // 1000}k" if key == "S" else str(value)


def _losses(cell: Printed) -> tuple[str, ...]:
    on = {"L_cv^g": "cv_g", "L_cv^o": "cv_o", "L_ci^o": "ci"}
    return (" + ".join(name for name, key in on.items() if cell.factor[key]),)


def _oracle(cell: Printed) -> tuple[str, ...]:
    on = [what for what in ("clustering", "bootstrapping") if cell.factor[f"supervised_{what}"]]
    return (" and ".join(on) + " by ground truth" if on else "CrIBo",)


def _clusterer(cell: Printed) -> tuple[str, ...]:
    sinkhorn = cell.factor["clustering"] == "sinkhorn"
    return (f"Sinkhorn, λ_pos {cell.factor['lambda_pos']}" if sinkhorn else "K-means",)


PROFILE_K = 12  # of Table 9
TASKS = {"dense_nn": "dense NN", "detection": "detection", "image_knn": "k-NN"}
MODEL = ("backbone", "photos", "epochs")
LAYOUTS = {
    1: Layout("Dense nearest neighbours, mIoU (%)", MODEL, _model, lambda c: (c.eval_dataset, c.factor["subsample"])),
    2: Layout("Linear segmentation, mIoU (%)", MODEL, _model, _dataset),
    3: Layout("Finetuning with Segmenter, mIoU (%)", MODEL, _model, _dataset),
    4: Layout(
        "λ_pos, S and K one at a time, dense nearest neighbours, mIoU (%)",
        ("L_ci^o",),
        lambda c: (c.eval_dataset, _tick(c.factor["ci"])),
        _swept,
    ),
    5: Layout("The losses one at a time", (), _losses, lambda c: (f"{c.eval_dataset}, {TASKS[c.factor['task']]}", c.metric)),
    6: Layout("Detection by YOLOS on COCO, box AP (%)", MODEL, _model, lambda c: ("", c.metric)),
    7: Layout("Linear segmentation on the last four blocks, mIoU (%)", MODEL, _model, _dataset),
    8: Layout(
        "Cycle consistency over a grid of λ_pos, S and K, dense nearest neighbours, mIoU (%)",
        (),
        lambda c: ({"none": "every neighbour", "cycle_consistency": "cycle-consistent"}[c.factor["criterion"]],),
        lambda c: (c.eval_dataset, c.factor["aggregate"]),
    ),
    9: Layout(
        "A training step by component",
        (),
        lambda c: (c.factor["component"].replace("_", " "),),
        lambda c: ("", {"ms": "ms", "percent": "%"}[c.metric]),
    ),
    11: Layout("Ground truth instead of clusters and of the criterion, mIoU (%)", (), _oracle, _dataset),
    12: Layout("The clustering, mIoU (%)", (), _clusterer, lambda c: (c.eval_dataset, f"K {c.factor['K']}")),
}


def paper_table(number: int, ours: Ours, step: StepBenchmark | None = None) -> Table:
    """Table `number` with our values; `step` is for Tables 9 and 10."""
    if number == 10:
        return runtime_table(step)
    layout = LAYOUTS[number]
    printed = [cell for cell in paper.cells() if cell.table == number]
    rows = list(dict.fromkeys(map(layout.row, printed)))
    names = list(dict.fromkeys(map(layout.column, printed)))
    if number == 4:
        names.sort(
            key=lambda name: ("λ_pos", "S", "K").index(name[0])
        )  # the default's value is printed once in each of them
    at = {(layout.row(cell), layout.column(cell)): cell for cell in printed}
    columns = [Column("", stub, kind="words") for stub in layout.stubs]
    for group, name in names:
        columns += three_columns(group, name)
    body = []
    for row in rows:
        cells: list[Cell] = [Text(text) for text in row[1:]]
        for name in names:
            cells += _three(at.get((row, name)), ours, step)
        body.append(Row(row[0], tuple(cells)))
    beside = {} if number == 9 else {at: tree for cell in printed for at, tree in ours.behind(cell).items()}
    judged = list(dict.fromkeys(cell.model for cell in beside))
    marks = {cell.reproduction_note for cell in printed}
    notes = (
        f"Paper: {paper.SOURCE}, Table {number}.",
        *(note for mark, note in MARK_NOTES.items() if mark in marks),
        *(_profile_notes(step) if number == 9 else ()),
        *_spread_note(body),
        *_grid_note(number, ours, beside),
        *_published_note(ours, judged),
        *training_notes(ours.models, judged),
        *photos_notes(ours.models, ours.missed(printed)),
        *settings_notes(beside),
        *data_notes(beside),
        *(f"In the paper: {note}" for note in NOTES.get(number, ())),
    )
    return Table(f"paper_table_{number:02d}", f"Table {number}. {layout.title}", tuple(columns), tuple(body), notes)


def _spread_note(body: list[Row]) -> tuple[str, ...]:
    """What ± means, if any cell has one."""
    spread = any(isinstance(cell, Number) and cell.std is not None for row in body for cell in row.cells)
    between = "draws of the training images, or our models where several stand there"
    return (f"±: standard deviation (n − 1) between {between}.",) * spread


def _published_note(ours: Ours, judged: list[str]) -> tuple[str, ...]:
    """Which values come from published weights, not from a training here."""
    names = [ours.labels[name] for name in judged if ours.models[name]["settings"] is None]
    return (f"Published weights, judged here: {'; '.join(names)}.",) if names else ()


def _grid_note(number: int, ours: Ours, beside: Results) -> tuple[str, ...]:
    """How much of the grid is behind each of Table 8's aggregates: over a part of it, an aggregate says little."""
    if number != 8 or not beside:
        return ()
    settings: dict[str, set[tuple]] = {}
    for cell in beside:
        model = ours.models[cell.model]
        own = settings.setdefault(f"criterion {model['criterion']} on {cell.dataset}", set())
        own.add(tuple(map(model.get, CYCLE_GRID)))
    listed = ", ".join(f"{len(own)} with {what}" for what, own in settings.items())
    return (f"Ours, of the {math.prod(map(len, CYCLE_GRID.values()))} settings behind each of the paper's: {listed}.",)


def _profile_notes(step: StepBenchmark | None) -> tuple[str, ...]:
    """What our profile was measured on, and what it would have to be measured on to be compared."""
    own = (f"Ours: {step.about}.",) if step and step.profile else ()
    return own if _is_printed(step) else (*own, f"Compared is a step of ViT-B/16 at 224 px, K 12, 128 images: {COMMAND}.")


def _is_printed(step: StepBenchmark | None) -> bool:
    return bool(step and step.profile and step.as_printed and step.K == PROFILE_K)


def _three(cell: Printed | None, ours: Ours, step: StepBenchmark | None) -> list[Cell]:
    """The paper's value, ours, and the difference where both are numbers."""
    if cell is None:
        return [NONE, NONE, NONE]
    value = Number(float(cell.value))
    if cell.setting != "profile":
        own = ours.opposite(cell)
        return [value, own, difference(own, value)]
    own = _timed(cell, step.profile if step else None)
    return [value, own, difference(own, value) if cell.metric == "percent" and _is_printed(step) else NONE]


def _timed(cell: Printed, profile: dict[str, float] | None) -> Cell:
    """A component's milliseconds or share. The paper used another machine, so only shares are compared."""
    if not profile:
        return NOT_RUN
    total = sum(profile.values())
    part = total if cell.factor["component"] == "total" else profile[cell.factor["component"]]
    return Number(part if cell.metric == "ms" else 100 * part / total)
