"""Table 10, an epoch of training: our models beside the paper's if benchmarks/step.py measured the same, else below them."""

from __future__ import annotations

from cribo.report.experiment.photos import PUBLISHED
from cribo.report.experiment.step_benchmark import PRINTED, Pace, StepBenchmark
from cribo.report.paper import values as paper
from cribo.report.paper.notes import NOTES
from cribo.report.tables.table import NONE, NOT_RUN, Cell, Column, Number, Row, Table, Text

IMAGENET = PUBLISHED["IN1K"]  # training images: the epoch of Table 10
PROCESSES = 8  # of Table 10
COLUMNS = (
    Column("", "batch", kind="words"),
    Column("epoch, mm:ss", "paper", kind="printed"),
    Column("epoch, mm:ss", "ours"),
    Column("memory, GB", "paper", kind="printed"),
    Column("memory, GB", "ours"),
    Column("img/s", "ours"),
)
COMMAND = (
    "python benchmarks/step.py --recipe paper-vitb16-in1k --set clustering.K=12 --images 128 --only table9 table10 "
    "--out results/benchmarks/step, then dvc repro tables report"
)


def runtime_table(step: StepBenchmark | None) -> Table:
    """Build Table 10, without differences, since the machines are not the same: compare models on the same machine only."""
    printed: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in paper.cells():
        if cell.setting == "runtime":
            label = f"{cell.method} (K {cell.factor['K']})" if "K" in cell.factor else cell.method
            value = Text(cell.value) if ":" in cell.value else Number(float(cell.value))
            printed.setdefault((label, str(cell.factor["batch_size"])), {})[cell.metric] = value
    paces = dict(step.paces or {}) if step else {}
    alike = [label for label, batch in printed if int(batch) == PROCESSES * PRINTED[2]]  # MAE has 512 images per process
    beside = {label: paces.pop(label) for label in alike if label in paces} if step and step.as_printed else {}
    rows = []
    for (label, batch), values in printed.items():
        clock, memory, rate = _cells(beside.get(label))
        rows.append(Row(label, (Text(batch), values["mm:ss"], clock, values["GB"], memory, rate)))
    for label, pace in paces.items():
        clock, memory, rate = _cells(pace)
        rows.append(Row(f"{label}, ours", (NONE, NONE, clock, NONE, memory, rate)))
    notes = [f"Paper: {paper.SOURCE}, Table 10; eight processes on four MI250X."]
    if step and step.paces:
        notes.append(f"Ours: {step.about}; an epoch is ImageNet's {IMAGENET:,} photos on this one device.")
    if not beside:
        compared = "ViT-B/16 at 224 px, 128 images per process"
        notes.append(f"Apart from MAE, only models of {compared}, stand beside the paper's: {COMMAND}.")
    notes += [f"In the paper: {note}" for note in NOTES[10]]
    return Table("paper_table_10", "Table 10. An epoch of training", COLUMNS, tuple(rows), tuple(notes))


def _cells(pace: Pace | None) -> tuple[Cell, Cell, Cell]:
    """Minutes and seconds of an epoch, memory, images per second."""
    if pace is None:
        return NOT_RUN, NOT_RUN, NOT_RUN
    minutes, seconds = divmod(round(IMAGENET / pace.images_per_second), 60)
    return Text(f"{minutes:02}:{seconds:02}"), Number(pace.memory_gb), Number(pace.images_per_second)
