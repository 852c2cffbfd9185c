"""How the paper judged, protocol by protocol, in the words of params.yaml: what its values depend on beside the model.

A row of settings.csv is one setting, of one data set or of all, and where it is stated: in a section of the paper, in
the code that its authors released, or in the work whose protocol the paper follows. What none of them states, or where they
contradict each other, is not there (docs/protocols.md lists both).
"""

from __future__ import annotations

import csv
import json
from functools import cache
from importlib.resources import files


def stated(protocol: str, dataset: str) -> dict[str, tuple[object, str]]:
    """(value, source) by setting of `evaluate.PROTOCOL`; empty for a protocol that is not the paper's."""
    return stated_in("settings.csv", protocol=protocol, dataset=dataset)


@cache
def stated_in(file: str, **of: str) -> dict[str, tuple[object, str]]:
    """(value, source) by setting, from the rows of one of our CSV files that have these values or leave the column empty."""
    text = files("cribo.report.paper").joinpath(file).read_text(encoding="utf-8")
    return {
        row["setting"]: (json.loads(row["value"]), row["source"])
        for row in csv.DictReader(text.splitlines())
        if all(row[column] in ("", value) for column, value in of.items())
    }
