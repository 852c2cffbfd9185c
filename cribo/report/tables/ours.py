"""Our results for a given cell of the paper's tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from cribo.report.experiment.planned import Planned
from cribo.report.experiment.results import Results
from cribo.report.paper import values as paper
from cribo.report.tables.counterparts import is_counterpart, models_of, score_of
from cribo.report.tables.table import NOT_RUN, Cell, Number, mean_of

METRICS = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "top1": "value"}
AGGREGATES = {"min": min, "max": max, "avg": statistics.fmean}


class Ours:
    """Our results by printed cell. `plan` and `trained` come from results/plan/, `results` from `read_results`."""

    def __init__(self, plan: dict, trained: dict[str, dict], results: Results):
        self.models, self.results = models_of(plan, trained), results
        self.labels = {name: row["row"] for name, row in plan["models"].items()}
        self.shares = {f"1/{factor}" for factor in plan["dense_nn"]["subsample"]}

    def opposite(self, cell: paper.Printed) -> Cell:
        """The mean (or the cell's aggregate) over the counterparts that have been evaluated; `not run` if there are none.

        Published weights count only where no counterpart trained here has been evaluated: that they score as printed shows
        that the protocol is the paper's, but nothing about the training.
        """
        best: dict[str, Number] = {}  # the paper reports the best learning rate
        for planned, score in self._scores(cell).items():
            best[planned.model] = max(score, best.get(planned.model, score), key=lambda number: number.value)
        found = list(best.values())
        if not found:
            return NOT_RUN
        values = [score.value for score in found]
        if aggregate := AGGREGATES.get(cell.factor.get("aggregate", "")):
            return Number(aggregate(values), None, len(values))
        return found[0] if len(found) == 1 else mean_of(values)

    def behind(self, cell: paper.Printed) -> Results:
        """The results from which `opposite` computes its number."""
        return {planned: self.results[planned] for planned in self._scores(cell)}

    def missed(self, cells: Sequence[paper.Printed]) -> list[str]:
        """Models that would be counterparts of one of these cells if they had seen the photos that the paper's model saw."""
        models = {name: model | {"other_photos": None} for name, model in self.models.items() if model["other_photos"]}
        return [name for name, model in models.items() if any(is_counterpart(model, cell) for cell in cells)]

    def _scores(self, cell: paper.Printed) -> dict[Planned, Number]:
        protocol, dataset, which = score_of(cell)
        layers = which if protocol == "linear_segmentation" else None
        models = {name for name, model in self.models.items() if is_counterpart(model, cell)}
        found = {}
        for planned, tree in self.results.items():
            asked = (planned.protocol, planned.dataset, planned.layers) == (protocol, dataset, layers)
            if asked and planned.model in models and (score := self._score(tree, protocol, which)):
                found[planned] = score
        here = {planned: score for planned, score in found.items() if self.models[planned.model]["settings"] is not None}
        return here or found

    def _score(self, tree: dict, protocol: str, which: str | int | None) -> Number | None:
        if protocol != "dense_nn":
            return Number(tree[METRICS.get(which, "value")])
        score = tree["patch"].get(which) if which in self.shares else None
        return score and Number(score["mean"], score["std"], len(score["runs"]))
