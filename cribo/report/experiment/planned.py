"""The results of an experiment: one for each cell that params.yaml asks for, in the file that dvc.yaml names.

DVC does not delete the result of a cell that has left params.yaml, and git keeps it. Any other file in results/scores
therefore belongs to another experiment, and no table or figure of this one may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from cribo.params.evaluate import PROTOCOLS

AXES = ("models", "datasets", "layers", "learning_rates")  # of dvc.yaml's matrices; most protocols have only the first two


@dataclass(frozen=True)
class Planned:
    """A model evaluated by a protocol on a data set, with `layers` and `lr` where the protocol sweeps them."""

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
    """List every result by protocol, then in the order of dvc.yaml's matrices. `plan` is results/plan/report.yaml."""
    return [
        Planned(protocol, *cell)
        for protocol in PROTOCOLS
        if protocol in plan
        for cell in product(*(plan[protocol].get(axis, (None,)) for axis in AXES))
    ]


def models_by_row(plan: dict, protocol: str) -> dict[str, list[str]]:
    """Group the models that a protocol evaluates by the label of their row, in the order of params.yaml.

    Models with the same label share one row of a table and are averaged.
    """
    rows: dict[str, list[str]] = {}
    for model in plan[protocol]["models"]:
        rows.setdefault(plan["models"][model]["row"], []).append(model)
    return rows
