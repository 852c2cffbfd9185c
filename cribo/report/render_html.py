"""A table as HTML: sortable by a click on a heading (page.js), wide ones scroll inside their frame."""

from __future__ import annotations

from html import escape
from itertools import groupby

from cribo.report.table import NONE, NOT_RUN, Cell, Column, Number, Table, number_words


def render_html(table: Table, tolerance: float | None = None, heading: str = "h3") -> str:
    """A `figure` with heading, table and notes.

    A difference within `tolerance` (in the unit of the table) has the class `near`, one above it `above`, below it `below`;
    page.css gives them their colours.
    """
    return "\n".join(
        [
            f'<figure class="table" id="table-{escape(table.name)}">',
            f"<figcaption><{heading}>{escape(table.title)}</{heading}></figcaption>",
            '<div class="scroll"><table class="sortable">',
            f"<thead>{_groups(table)}<tr><th></th>{''.join(map(_name, table.columns))}</tr></thead>",
            "<tbody>",
            *(_row(row.label, row.cells, table.columns, tolerance) for row in table.rows),
            "</tbody></table></div>",
            *(f'<p class="note">{escape(note)}</p>' for note in table.notes),
            "</figure>",
        ]
    )


def _groups(table: Table) -> str:
    if not any(column.group for column in table.columns):
        return ""
    spans = [(group, len(list(columns))) for group, columns in groupby(table.columns, key=lambda column: column.group)]
    cells = "".join(f'<th colspan="{width}" class="group"><span>{escape(group)}</span></th>' for group, width in spans)
    return f'<tr class="groups"><th></th>{cells}</tr>'


def _name(column: Column) -> str:
    return f'<th{" class=left" if column.left else ""} aria-sort="none">{escape(column.name)}</th>'


def _row(label: str, cells: tuple[Cell, ...], columns: tuple[Column, ...], tolerance: float | None) -> str:
    own = "".join(_cell(cell, column, tolerance) for cell, column in zip(cells, columns, strict=True))
    return f'<tr><th scope="row">{escape(label)}</th>{own}</tr>'


def _cell(cell: Cell, column: Column, tolerance: float | None) -> str:
    classes = [column.kind]
    value = ""
    if isinstance(cell, Number):
        value = f' data-value="{cell.value!r}"'
        words = escape(number_words(cell, column)).replace("-", "−")
        if cell.std is not None:
            mean, spread = words.split(" ± ")
            words = f"{mean}<small> ± {spread}</small>"
        if column.signed and tolerance is not None:
            classes.append("near" if abs(cell.value) <= tolerance else "above" if cell.value > 0 else "below")
    else:
        words = escape(cell.words)
        if cell in (NONE, NOT_RUN):
            classes.append("absent")
    return f'<td class="{" ".join(classes)}"{value}>{words}</td>'
