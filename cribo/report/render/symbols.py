"""Render the paper's symbols, written L_cv^g and λ_pos in params.yaml and in tables, as HTML and as TeX."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

SYMBOL = re.compile(r"(?<![\w.])([Lλ])_([a-z]+)(?:\^([a-z]))?(?!\w)")


def as_html(text: str) -> str:
    """Escape plain text and set its symbols with subscripts and superscripts."""
    return SYMBOL.sub(lambda m: f"{m[1]}<sub>{m[2]}</sub>" + (f"<sup>{m[3]}</sup>" if m[3] else ""), escape(text))


def as_tex(text: str, plain: Callable[[str], str]) -> str:
    """Set the symbols of plain text in math mode, and convert the rest with `plain`."""
    parts, at = [], 0
    for m in SYMBOL.finditer(text):
        letter = {"λ": r"\lambda"}.get(m[1], m[1])
        raised = rf"^{{\mathrm{{{m[3]}}}}}" if m[3] else ""
        parts += [plain(text[at : m.start()]), rf"${letter}_{{\mathrm{{{m[2]}}}}}{raised}$"]
        at = m.end()
    return "".join([*parts, plain(text[at:])])
