"""The results that an experiment has: one for each cell that params.yaml asks for, in the file that dvc.yaml names.

DVC deletes no result of a cell that has left params.yaml, and git keeps it: what else lies in results/scores belongs to
other experiments, and no table or figure of this one may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from cribo.params.evaluate import PROTOCOLS

AXES = ("models", "datasets", "layers", "learning_rates")  # of dvc.yaml's matrices; most protocols have the first two alone


@dataclass(frozen=True)
class Planned:
    """A model judged by a protocol on a data set, with so many layers and at a learning rate where a decoder is trained."""

    protocol: str
    model: str
    dataset: str
    layers: int | None = None
    lr: int | float | None = None

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        layers = None if self.layers is None else f"last{self.layers}"
        return "-".join(str(part) for part in (self.model, self.dataset, layers, self.lr) if part is not None)

    def path(self, results: Path) -> Path:
        return results / "scores" / self.protocol / f"{self.name}.json"


def planned(plan: dict) -> list[Planned]:
    """Every result in the order of the protocols, then of dvc.yaml's matrices. `plan` is results/plan/report.yaml."""
    return [
        Planned(protocol, *cell)
        for protocol in PROTOCOLS
        if protocol in plan
        for cell in product(*(plan[protocol].get(axis, (None,)) for axis in AXES))
    ]


def models_by_row(plan: dict, protocol: str) -> dict[str, list[str]]:
    """The models that a protocol judges by the label of their row, in the order of params.yaml: those of one label are one
    row of a table, and are averaged."""
    rows: dict[str, list[str]] = {}
    for model in plan[protocol]["models"]:
        rows.setdefault(plan["models"][model]["row"], []).append(model)
    return rows
