"""The data model of a table; render_markdown, render_csv, render_latex and render_html are functions of it alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Number:
    """A value; where it is a mean of `n` > 1 values, `std` is their standard deviation."""

    value: float
    std: float | None = None
    n: int = 1


@dataclass(frozen=True)
class Text:
    """A cell without a number, such as "not run"."""

    words: str


NOT_RUN = Text("not run")  # a result that should exist and does not yet
NONE = Text("–")  # there is no such value, and there never will be

Cell = Number | Text


@dataclass(frozen=True)
class Column:
    """A column headed by `group` and `name`; numbers have `digits` decimals, and a sign if `signed`.

    Kind `measured`: our numbers, which may have a spread, so the CSV has three columns for them: value, std, n. Kind
    `words`: text that describes the row, flush left.
    """

    group: str
    name: str
    digits: int = 1
    kind: Literal["measured", "printed", "difference", "ratio", "words"] = "measured"

    @property
    def title(self) -> str:
        return f"{self.group} {self.name}".strip()

    @property
    def signed(self) -> bool:
        return self.kind == "difference"

    @property
    def left(self) -> bool:
        return self.kind == "words"


@dataclass(frozen=True)
class Row:
    """A label and one cell for each column."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """`name` is the file name without suffix; `notes` are sentences below the table."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"row {row.label} of table {self.name} has {len(row.cells)} cells for {len(self.columns)} columns"
                )


def number_words(number: Number, column: Column) -> str:
    """Format a number for a reader: `12.3 ± 0.4`, `+1.2` or `1.52×`."""
    words = f"{number.value:{'+' if column.signed else ''}.{column.digits}f}"
    if column.kind == "ratio":
        words += "×"
    return words if number.std is None else f"{words} ± {number.std:.{column.digits}f}"


def mean_of(values: Sequence[float]) -> Number:
    """The mean of one or more values; of several, with their standard deviation."""
    return Number(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def three_columns(group: str, name: str = "") -> list[Column]:
    """The paper's value, ours, and the difference, under one name."""
    return [
        Column(group, f"{name} paper".strip(), kind="printed"),
        Column(group, f"{name} ours".strip()),
        Column(group, f"{name} Δ".strip(), kind="difference"),
    ]


def difference(ours: Cell, theirs: Cell) -> Cell:
    """Ours minus theirs if both are numbers, else a dash."""
    both = isinstance(ours, Number) and isinstance(theirs, Number)
    return Number(ours.value - theirs.value) if both else NONE
