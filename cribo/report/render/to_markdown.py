"""A table as GitHub-flavoured Markdown."""

from __future__ import annotations

import re

from cribo.report.tables.table import Cell, Column, Number, Table, number_words

# Characters that Markdown would interpret; it leaves an underscore within a word alone.
SPECIAL = re.compile(r"[\\|<*`~]|_(?![^\W_])|(?<![^\W_])_|\](?=[(\[])|&(?=[\w#]+;)")


def render_markdown(table: Table) -> str:
    """Heading, table with aligned columns, notes; ends with a newline."""
    grid = [["", *(column.title for column in table.columns)]]
    grid += [[row.label, *map(_cell, row.cells, table.columns)] for row in table.rows]
    grid = [[escape(text) for text in line] for line in grid]
    widths = [max(3, *(len(line[c]) for line in grid)) for c in range(len(grid[0]))]
    left = [True, *(column.left for column in table.columns)]
    rule = [":" + "-" * (w - 1) if flush else "-" * (w - 1) + ":" for flush, w in zip(left, widths, strict=True)]
    lines = [
        _line([text.ljust(w) if flush else text.rjust(w) for flush, text, w in zip(left, row, widths, strict=True)])
        for row in [grid[0], rule, *grid[1:]]
    ]
    notes = [f"\n{escape(note)}" for note in table.notes]
    return "\n".join([f"## {escape(table.title)}\n", *lines, *notes]) + "\n"


def escape(text: str) -> str:
    """Escape text so that Markdown shows it as written."""
    return SPECIAL.sub(r"\\\g<0>", text)


def _line(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _cell(cell: Cell, column: Column) -> str:
    return number_words(cell, column) if isinstance(cell, Number) else cell.words
