"""A table as GitHub-flavoured Markdown."""

from __future__ import annotations

from cribo.report.table import Cell, Column, Number, Table, number_words


def render_markdown(table: Table) -> str:
    """Heading, table with aligned columns, notes; ends with a newline."""
    grid = [["", *(column.title for column in table.columns)]]
    grid += [[row.label, *map(_cell, row.cells, table.columns)] for row in table.rows]
    grid = [[text.replace("\\", "\\\\").replace("|", "\\|") for text in line] for line in grid]
    widths = [max(3, *(len(line[c]) for line in grid)) for c in range(len(grid[0]))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        _line([text.ljust(w) if c == 0 else text.rjust(w) for c, (text, w) in enumerate(zip(row, widths, strict=True))])
        for row in [grid[0], rule, *grid[1:]]
    ]
    notes = [f"\n{note}" for note in table.notes]
    return "\n".join([f"## {table.title}\n", *lines, *notes]) + "\n"


def _line(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _cell(cell: Cell, column: Column) -> str:
    return number_words(cell, column) if isinstance(cell, Number) else cell.words
