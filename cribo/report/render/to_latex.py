"""A table as LaTeX (booktabs), with a common heading above the columns of a group."""

from __future__ import annotations

from itertools import groupby

from cribo.report.render.symbols import as_tex
from cribo.report.tables.table import Cell, Column, Number, Table, number_words

ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # otherwise the `\\` before it takes it for an option
    "*": "{*}",  # likewise
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "λ": r"$\lambda$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
    "–": "--",
    "−": "$-$",
    "§": r"\S{}",
    "…": r"\ldots{}",
    "†": r"$\dagger$",
    "✓": r"$\checkmark$",
    "✗": "--",
}


def escape(text: str) -> str:
    """Escape text so that LaTeX prints it as written, with the paper's symbols in math mode."""
    return as_tex(text, lambda plain: "".join(ESCAPES.get(character, character) for character in plain))


def render_latex(table: Table) -> str:
    """A `table` environment, shrunk if it is wider than the text; its first line names the packages that it needs."""
    spans, start = [], 2
    for group, columns in groupby(table.columns, key=lambda column: column.group):
        width = len(list(columns))
        spans.append((group, start, start + width - 1))
        start += width
    groups = " & ".join(
        ["", *(rf"\multicolumn{{{last - first + 1}}}{{c}}{{{escape(group)}}}" for group, first, last in spans)]
    )
    rules = " ".join(rf"\cmidrule(lr){{{first}-{last}}}" for group, first, last in spans if group)
    names = " & ".join(["", *(escape(column.name) for column in table.columns)])
    lines = [
        "% needs \\usepackage{adjustbox,booktabs} and, for ticks, \\usepackage{amssymb}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        r"\begin{adjustbox}{max width=\linewidth}",
        rf"\begin{{tabular}}{{l{''.join('l' if column.left else 'r' for column in table.columns)}}}",
        r"\toprule",
        rf"{groups.lstrip()} \\",
        rules,
        rf"{names.lstrip()} \\",
        r"\midrule",
        *(" & ".join([escape(row.label), *map(_cell, row.cells, table.columns)]) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{adjustbox}",
        *(rf"\par\smallskip\footnotesize {escape(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _cell(cell: Cell, column: Column) -> str:
    words = number_words(cell, column) if isinstance(cell, Number) else cell.words
    # In text mode LaTeX prints a leading hyphen as a hyphen, but a difference needs a minus sign.
    return escape("−" + words[1:] if words.startswith("-") else words)
