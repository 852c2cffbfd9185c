"""Line and bar charts as SVG. Text and axes take the text colour of the page, so one file suits light and dark pages.

The same data give the same bytes: there is no date, ids are hashed with a fixed salt, text is left to the reader's fonts,
and any matplotlibrc is ignored.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure

from cribo.report.render.symbols import as_tex

INK = "#010203"  # stands for the page's text colour until the SVG is written
COLOURS = ("#3b82c4", "#e0802c", "#2a9d6f", "#b45fc0", "#b8960c", "#d1495b", "#6b7fd7", "#7a8b99")
GREY = "#8a8f98"
DASHES = ("-", "--", ":", "-.")  # when the colours are used up, they repeat in the next style
MARKERS = "os^Dvp"
WIDTH, HEIGHT = 3.9, 3.1  # inches
LEAST = 2.3  # inches of the height, for the axes and their labels
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 1.4,
    "legend.columnspacing": 1.2,
    "mathtext.default": "regular",
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True)
class Line:
    """Points in the order of x. `paper`: values that are not ours, drawn dashed and grey; `colour`: index into COLOURS."""

    x: Sequence[float]
    y: Sequence[float]
    paper: bool = False
    spread: Sequence[float] | None = None  # standard deviation of each y
    colour: int | None = None


@contextmanager
def _style(name: str) -> Iterator[None]:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | {"svg.hashsalt": name})
        yield


def lines(name: str, ylabel: str, xlabel: str, drawn: Mapping[str, Line], swept: bool = False) -> str:
    """Draw a chart with one line for each label; `name` makes the ids in the SVG unique.

    `swept`: x has few chosen values; each point is marked, and each value is written on the axis, which is logarithmic.
    """
    with _style(name):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        name_of = _words if len(drawn) <= len(COLOURS) else _plain  # many formulas would take up most of the page and time
        for i, (label, line) in enumerate(drawn.items()):
            turn, number = divmod(i if line.colour is None else line.colour, len(COLOURS))
            colour = GREY if line.paper else COLOURS[number]
            style = {"linestyle": DASHES[turn % len(DASHES)]}
            if line.paper:
                style = {"linestyle": "--", "zorder": 3}  # drawn on top of our lines
            marker = MARKERS[i % len(MARKERS)] if swept else None
            axes.plot(line.x, line.y, color=colour, label=name_of(label), marker=marker, markersize=4, **style)
            if line.spread is not None:
                low, high = ([y + sign * s for y, s in zip(line.y, line.spread, strict=True)] for sign in (-1, 1))
                axes.fill_between(line.x, low, high, color=colour, alpha=0.15, linewidth=0)
        if swept:
            values = sorted({x for line in drawn.values() for x in line.x})
            if values[0] > 0:
                axes.set_xscale("log")
            else:
                axes.set_xscale("symlog", linthresh=0.1)
            axes.set_xticks(values, [f"{x:g}" for x in values])
            axes.minorticks_off()
        axes.set_xlabel(_words(xlabel))
        axes.set_ylabel(ylabel)
        axes.grid(True)
        if len(drawn) > 1:
            _add_legend(figure)
        return _svg(figure, f"{ylabel} against {xlabel}")


def _add_legend(figure: Figure) -> None:
    """Add a legend below the axes, in two columns if its names are short enough. The figure grows, the axes do not."""
    for columns in (2, 1):
        legend = figure.legend(loc="outside lower center", ncols=columns)
        box = legend.get_window_extent()
        wide, high = box.width / figure.dpi, box.height / figure.dpi
        if wide <= WIDTH or columns == 1:
            break
        legend.remove()
    figure.set_size_inches(max(WIDTH, wide + 0.2), max(HEIGHT, LEAST + high))


def stacked(name: str, xlabel: str, bars: Mapping[str, Mapping[str, float]]) -> str:
    """Draw a horizontal bar for each label, with its parts one after the other; all bars have the same parts."""
    with _style(name):
        figure = Figure(figsize=(7.2, 1.1 + 0.55 * len(bars)), layout="constrained")
        axes = figure.add_subplot()
        labels, start = list(bars), [0.0] * len(bars)
        for i, part in enumerate(next(iter(bars.values()))):
            widths = [bars[label][part] for label in labels]
            axes.barh(labels, widths, left=start, color=COLOURS[i % len(COLOURS)], label=part, height=0.6)
            for row, (left, width) in enumerate(zip(start, widths, strict=True)):
                if width >= 4:
                    axes.text(left + width / 2, row, f"{width:.0f}", ha="center", va="center", color="#ffffff", fontsize=8)
            start = [left + width for left, width in zip(start, widths, strict=True)]
        axes.invert_yaxis()
        axes.set_xlabel(xlabel)
        figure.legend(loc="outside lower center", ncols=3)
        return _svg(figure, f"{xlabel} of {', '.join(labels)}")


def _words(text: str) -> str:
    return as_tex(text, _plain)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")


def _svg(figure: Figure, title: str) -> str:
    """Only the `svg` element, for embedding in a page; screen readers read out `title` instead."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # other charts on the page have the same group ids
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1).rstrip() + "\n"
