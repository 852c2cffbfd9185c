"""How the paper evaluated and trained, as keys of params.yaml, beyond the settings that counterparts.py compares.

A row of judging.csv (by protocol and data set) or training.csv (by backbone and photos) is one setting and its
source; an empty column stands for all. A source is a section of the paper, the code and argument files that its authors
released, or the work that the paper follows. Settings that no source states, or on which sources contradict each other, are
left out: docs/protocols.md lists both. So is what `pretrain.fidelity` decides (docs/method.md has both values, the report
page the departures), and MAE's training on COCO, of which the paper says nothing.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from importlib.resources import files

Stated = dict[str, tuple[object, str]]  # (value, source) by setting


def of_judging(protocol: str, dataset: str) -> Stated:
    """The paper's settings by key of `evaluate.PROTOCOL`; empty for a protocol that is not the paper's."""
    return _stated("judging.csv", protocol=protocol, dataset=dataset)


def of_training(backbone: str, photos: str) -> Stated:
    """The paper's settings by dotted key of `pretrain`; `backbone` and `photos` are the paper's names."""
    return _stated("training.csv", backbone=backbone, photos=photos)


@cache
def _stated(file: str, **of: str) -> Stated:
    text = files("cribo.report.paper").joinpath(file).read_text(encoding="utf-8")
    return {
        row["setting"]: (json.loads(row["value"]), row["source"])
        for row in csv.DictReader(text.splitlines())
        if all(row[column] in ("", value) for column, value in of.items())
    }
