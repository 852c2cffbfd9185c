"""Charts: each line can be read and named, however many there are."""

from __future__ import annotations

import re

import matplotlib
import pytest

from cribo.report.page.charts import LEAST, Line, lines

LONG = "CrIBo, ViT-S/16, COCO, trained here"


def chart(names):
    return lines("test", "loss", "epoch", {name: Line([0, 1], [n, n + 1]) for n, name in enumerate(names)})


def size(svg):
    return tuple(map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups()))


@pytest.mark.filterwarnings("error")  # matplotlib's, of axes without room
@pytest.mark.parametrize("names", [[f"λ_pos {n}, {LONG}" for n in range(80)], [LONG, f"another {LONG}"], [3 * LONG, "b"]])
def test_names_are_whole_within_the_chart_and_leave_the_axes_their_room(names):
    svg = chart(names)
    width, height = size(svg)
    drawn = re.findall(
        r'<text style="font-size: 9px[^>]*text-anchor: start[^>]* x="([\d.-]+)" y="([\d.-]+)"[^>]*>(.*?)</text>', svg
    )
    assert [name for *_, name in drawn] == names
    assert all(0 < float(x) < width for x, _, _ in drawn) and min(float(y) for _, y, _ in drawn) > (LEAST - 0.1) * 72
    assert max(float(y) for _, y, _ in drawn) < height


def test_few_short_names_take_no_more_height_than_one():
    assert size(chart("abcd")) == size(chart("a"))


def test_lines_of_one_colour_have_other_dashes():
    shapes = r'<path d="[^"]*" clip-path="[^"]*" style="([^"]*stroke: #[^"]*)"'
    paths = re.findall(shapes, chart(map(str, range(32))))
    assert len(paths) == len(set(paths)) == 32


def test_a_matplotlibrc_of_the_user_s_changes_nothing():
    with matplotlib.rc_context({"text.usetex": True, "xtick.direction": "in"}):
        own = chart("ab")
    assert own == chart("ab")
