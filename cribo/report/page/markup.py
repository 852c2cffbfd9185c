"""Pieces of a self-contained HTML page: pictures are inlined, and nothing refers to an address outside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path


def page(title: str, lead: str, sections: Sequence[tuple[str, str, str]], foot: str) -> str:
    """A whole page of (id, heading, HTML) sections; an empty section is left out. `lead` and `foot` are HTML."""
    kept = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in kept)
    body = "\n".join(f'<section id="{name}"><h2>{escape(heading)}</h2>\n{html}\n</section>' for name, heading, html in kept)
    css, js = (files("cribo.report.page").joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{css}</style>
</head>
<body>
<header><h1>{escape(title)}</h1>{lead}</header>
<nav aria-label="Sections"><div>{links}</div></nav>
<main>
{body}
</main>
<footer>{foot}</footer>
<script>
{js}</script>
</body>
</html>
"""


def image(path: Path, alt: str) -> str:
    """An `img` element with the PNG inlined."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(alt, quote=True)}" src="data:image/png;base64,{data}">'


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph, with the CSS class `kind` if given."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def folded(summary: str, html: str) -> str:
    """HTML folded away behind a line that opens it."""
    return f"<details><summary>{escape(summary)}</summary>\n{html}\n</details>"


def grid(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A sortable table of texts and numbers; an empty text becomes a dash."""

    def cell(value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f'<td class="wrap">{escape(str(value))}</td>' if str(value) else '<td class="words absent">–</td>'
        return f'<td data-value="{value!r}">{value:,.1f}</td>' if isinstance(value, float) else _whole(value)

    head = "".join(f'<th class="left" aria-sort="none">{escape(name)}</th>' for name in heads)
    body = "\n".join(
        f'<tr><th scope="row">{escape(str(first))}</th>{"".join(map(cell, rest))}</tr>' for first, *rest in rows
    )
    rows_of = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll"><table class="sortable">{rows_of}</table></div>'


def _whole(value: int) -> str:
    return f'<td data-value="{value}">{value:,}</td>'
