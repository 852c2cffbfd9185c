"""Table 10, an epoch of training: the paper's models, then ours as benchmarks/step.py measured them."""

from __future__ import annotations

from cribo.report import paper
from cribo.report.paper_notes import NOTES
from cribo.report.step_benchmark import StepBenchmark
from cribo.report.table import NONE, NOT_RUN, Cell, Column, Number, Row, Table, Text

IMAGENET = 1_281_167  # training images: the epoch of Table 10
COLUMNS = (
    Column("", "batch", kind="words"),
    Column("epoch, mm:ss", "paper", kind="printed"),
    Column("epoch, mm:ss", "ours"),
    Column("memory, GB", "paper", kind="printed"),
    Column("memory, GB", "ours"),
    Column("img/s", "ours"),
)


def runtime_table(step: StepBenchmark | None) -> Table:
    """No differences: the machines are others. What is to be compared is a model with another on the same machine."""
    printed: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in paper.cells():
        if cell.setting == "runtime":
            label = f"{cell.method} (K {cell.factor['K']})" if "K" in cell.factor else cell.method
            value = Text(cell.value) if ":" in cell.value else Number(float(cell.value))
            printed.setdefault((label, str(cell.factor["batch_size"])), {})[cell.metric] = value
    rows = [
        Row(label, (Text(batch), values["mm:ss"], NONE, values["GB"], NONE, NONE))
        for (label, batch), values in printed.items()
    ]
    notes = [f"Paper: {paper.SOURCE}, Table 10; eight processes on four MI250X."]
    if step and step.paces:
        for label, pace in step.paces.items():
            minutes, seconds = divmod(round(IMAGENET / pace.images_per_second), 60)
            clock, memory, rate = Text(f"{minutes:02}:{seconds:02}"), Number(pace.memory_gb), Number(pace.images_per_second)
            rows.append(Row(f"{label}, ours", (NONE, NONE, clock, NONE, memory, rate)))
        notes.append(f"Ours: {step.about}; an epoch is ImageNet's {IMAGENET:,} photos on this one device.")
    else:
        rows.append(Row("ours", (NONE, NONE, NOT_RUN, NONE, NOT_RUN, NOT_RUN)))
        notes.append("Ours: python benchmarks/step.py --out results/benchmarks/step, then the report again.")
    notes += [f"In the paper: {note}" for note in NOTES[10]]
    return Table("paper_table_10", "Table 10. An epoch of training", COLUMNS, tuple(rows), tuple(notes))
