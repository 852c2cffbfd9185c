"""A table as CSV, for machines: numbers at full precision, and a measured column as three: value, std and n."""

from __future__ import annotations

import csv
import io

from cribo.report.tables.table import NONE, Cell, Column, Number, Table


def render_csv(table: Table) -> str:
    """One header line and one line per row. A cell still without its number holds words; one that never has any is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", *(title for column in table.columns for title in _titles(column))])
    for row in table.rows:
        writer.writerow(
            [
                row.label,
                *(text for cell, column in zip(row.cells, table.columns, strict=True) for text in _texts(cell, column)),
            ]
        )
    return out.getvalue()


def _titles(column: Column) -> list[str]:
    spread = [f"{column.title} std", f"{column.title} n"] if column.kind == "measured" else []
    return [column.title, *spread]


def _texts(cell: Cell, column: Column) -> list[str]:
    if isinstance(cell, Number):
        texts = [repr(cell.value), "" if cell.std is None else repr(cell.std), str(cell.n)]
    else:
        texts = ["" if cell == NONE else cell.words, "", ""]
    return texts if column.kind == "measured" else texts[:1]
