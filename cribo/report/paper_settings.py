"""How the paper judged, protocol by protocol, in the words of params.yaml: what its values depend on beside the model.

A row of paper_settings.csv is one setting, of one data set or of all, and where it is stated: in a section of the paper, in
the code that its authors released, or in the work whose protocol the paper follows. What none of them states, or where they
contradict each other, is not there (docs/protocols.md lists both).
"""

from __future__ import annotations

import csv
import json
from functools import cache
from importlib.resources import files


@cache
def stated(protocol: str, dataset: str) -> dict[str, tuple[object, str]]:
    """(value, source) by setting of `evaluate.PROTOCOL`; empty for a protocol that is not the paper's."""
    text = files("cribo.report").joinpath("paper_settings.csv").read_text(encoding="utf-8")
    return {
        row["setting"]: (json.loads(row["value"]), row["source"])
        for row in csv.DictReader(text.splitlines())
        if row["protocol"] == protocol and row["dataset"] in ("", dataset)
    }
