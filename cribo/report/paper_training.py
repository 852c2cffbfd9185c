"""How the paper's models were trained, in the words of `pretrain`: what a score depends on that counterparts.py leaves out.

A row of paper_training.csv is one setting, of one backbone and one set of photos or of all, and where it is stated: in a
section of the paper, in the argument files that its authors released, or in DINO's, which the paper follows. What
`pretrain.fidelity` decides is not there: docs/method.md has both values, and a page its departures. Nor is MAE's training on
COCO, of which the paper says nothing.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from importlib.resources import files


@cache
def stated(backbone: str, photos: str) -> dict[str, tuple[object, str]]:
    """(value, source) by dotted key of `pretrain`; both names are the paper's."""
    text = files("cribo.report").joinpath("paper_training.csv").read_text(encoding="utf-8")
    return {
        row["setting"]: (json.loads(row["value"]), row["source"])
        for row in csv.DictReader(text.splitlines())
        if row["backbone"] in ("", backbone) and row["photos"] in ("", photos)
    }
