"""Our results, asked for by a cell of the paper's tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from numbers import Real
from pathlib import Path

from cribo.report import paper
from cribo.report.counterparts import is_counterpart, models_of, score_of
from cribo.report.results import ReportError
from cribo.report.table import NOT_RUN, Cell, Number

METRICS = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "top1": "value"}
AGGREGATES = {"min": min, "max": max, "avg": statistics.fmean}


class Ours:
    """`scores` is results/scores; `plan` and `trained` come from results/plan/."""

    def __init__(self, plan: dict, trained: dict[str, dict], scores: str | Path):
        self.plan, self.folder = plan, Path(scores)
        self.models = models_of(plan, trained)
        self._read: dict[Path, dict] = {}

    def opposite(self, cell: paper.Cell) -> Cell:
        """Mean over the counterparts that have been judged, `not run` without one."""
        names = [name for name, model in self.models.items() if is_counterpart(model, cell)]
        found = [score for name in names if (score := self._score(name, cell)) is not None]
        if not found:
            return NOT_RUN
        values = [score.value for score in found]
        if aggregate := AGGREGATES.get(cell.factor.get("aggregate", "")):
            return Number(aggregate(values), None, len(values))
        return found[0] if len(found) == 1 else Number(statistics.fmean(values), statistics.stdev(values), len(values))

    def _score(self, model: str, cell: paper.Cell) -> Number | None:
        protocol, dataset, which = score_of(cell)
        if protocol in ("linear_segmentation", "segmenter"):
            values = [tree["value"] for tree in self._segmentation(model, dataset, protocol, which)]
            return Number(max(values)) if values else None  # the paper reports the best learning rate
        tree = self._tree(protocol, f"{model}-{dataset}.json", model, dataset)
        if tree is None:
            return None
        if protocol != "dense_nn":
            return Number(tree[METRICS[which]])
        score = tree["patch"].get(which)
        return score and Number(score["mean"], score["std"], len(score["runs"]))

    def _segmentation(self, model: str, dataset: str, protocol: str, layers: int | None) -> Iterator[dict]:
        middle = "" if layers is None else f"last{layers}-"
        for lr in self.plan[protocol]["learning_rates"]:
            tree = self._tree(protocol, f"{model}-{dataset}-{middle}{lr}.json", model, dataset)
            if tree is not None:
                yield tree

    def _tree(self, protocol: str, name: str, model: str, dataset: str) -> dict | None:
        path = self.folder / protocol / name
        if path not in self._read:
            if not path.exists():
                return None
            try:
                tree = json.loads(path.read_text(encoding="utf-8"))
                if (tree["model"], tree["dataset"]) != (model, dataset) or not isinstance(tree["value"], Real):
                    raise ValueError(f"{tree['model']} on {tree['dataset']}: {tree['value']}")
            except (ValueError, KeyError, TypeError) as error:
                raise ReportError(f"{path} is no result of {model} on {dataset} ({error!r}): run its stage again") from None
            self._read[path] = tree
        return self._read[path]
