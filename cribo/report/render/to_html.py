"""A table as HTML: a click on a heading sorts it (page/page.js), and a wide table scrolls inside its frame."""

from __future__ import annotations

from html import escape
from itertools import groupby

from cribo.report.render.symbols import as_html
from cribo.report.tables.table import NONE, NOT_RUN, Cell, Column, Number, Table, number_words


def render_html(table: Table, tolerance: float | None = None, heading: str = "h3") -> str:
    """A `figure` with heading, table and notes.

    A difference within `tolerance` (in the unit of the table) has the class `near`, a larger one `above`, a smaller one
    `below`; page/page.css gives them their colours.
    """
    spreads = _spreads(table)
    return "\n".join(
        [
            f'<figure class="table" id="table-{escape(table.name)}">',
            f"<figcaption><{heading}>{as_html(table.title)}</{heading}></figcaption>",
            '<div class="scroll"><table class="sortable">',
            f"<thead>{_groups(table)}<tr><th></th>{''.join(map(_name, table.columns))}</tr></thead>",
            "<tbody>",
            *(_row(row.label, row.cells, table.columns, spreads, tolerance) for row in table.rows),
            "</tbody></table></div>",
            *(f'<p class="note">{as_html(note)}</p>' for note in table.notes),
            "</figure>",
        ]
    )


def _groups(table: Table) -> str:
    if not any(column.group for column in table.columns):
        return ""
    spans = [(group, len(list(columns))) for group, columns in groupby(table.columns, key=lambda column: column.group)]
    cells = "".join(f'<th colspan="{width}" class="group"><span>{as_html(group)}</span></th>' for group, width in spans)
    return f'<tr class="groups"><th></th>{cells}</tr>'


def _name(column: Column) -> str:
    return f'<th{" class=left" if column.left else ""} aria-sort="none">{as_html(column.name)}</th>'


def _spreads(table: Table) -> list[str]:
    """The widest spread of each column, empty if it has none: numbers without a spread leave room for it."""
    found = []
    for n, column in enumerate(table.columns):
        cells = (row.cells[n] for row in table.rows)
        spreads = [f"{cell.std:.{column.digits}f}" for cell in cells if isinstance(cell, Number) and cell.std is not None]
        found.append(max(spreads, key=len, default=""))
    return found


def _row(
    label: str, cells: tuple[Cell, ...], columns: tuple[Column, ...], spreads: list[str], tolerance: float | None
) -> str:
    own = "".join(_cell(*about, tolerance) for about in zip(cells, columns, spreads, strict=True))
    return f'<tr><th scope="row">{as_html(label)}</th>{own}</tr>'


def _cell(cell: Cell, column: Column, spread: str, tolerance: float | None) -> str:
    classes = [column.kind]
    value = ""
    if isinstance(cell, Number):
        value = f' data-value="{cell.value!r}"'
        words = escape(number_words(cell, column)).replace("-", "−")
        if cell.std is not None:
            mean, own = words.split(" ± ")
            words = f"{mean}<small> ± {own}</small>"
        elif spread:
            words += f'<small class="room" aria-hidden="true"> ± {spread}</small>'
        if column.signed and tolerance is not None:
            classes.append("near" if abs(cell.value) <= tolerance else "above" if cell.value > 0 else "below")
    else:
        words = as_html(cell.words)
        if cell in (NONE, NOT_RUN):
            classes.append("absent")
    return f'<td class="{" ".join(classes)}"{value}>{words}</td>'
