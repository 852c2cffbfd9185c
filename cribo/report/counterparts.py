"""Which of our results stand opposite a value that the paper prints.

A model of ours is the counterpart of a printed cell if it is set up as the paper says that cell's model was: backbone,
photos, epochs, losses, and λ_pos, S, K, clustering and criterion where its losses read them. Several such models (seeds)
give their mean.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from numbers import Real
from pathlib import Path

from cribo.report import paper
from cribo.report.results import ReportError
from cribo.report.table import NOT_RUN, Cell, Number

# Appendix A.1: λ_pos, S and K of the reported models, by pretraining data.
REPORTED = {"COCO": (2.0, 25000, 64), "IN1K": (1.0, 25000, 32)}
ALL = dict.fromkeys(paper.LOSSES.values(), True)
SEGMENTATION = {
    "linear": ("linear_segmentation", 1),
    "linear_concat4": ("linear_segmentation", 4),
    "finetune": ("segmenter", None),
}
EVALUATION_SETS = {printed: ours for ours, printed in paper.SEGMENTATION_DATASETS.items()} | {
    "COCO": "coco",
    "IN1K": "imagenet",
}
METRICS = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "top1": "value"}
AGGREGATES = {"min": min, "max": max, "avg": statistics.fmean}


def model_of(row: dict, settings: dict | None) -> dict:
    """A model of ours in the paper's words: `row` of results/plan/report.yaml, `settings` of results/plan/pretrain/."""
    losses = row["losses"]
    clustering = (settings or {}).get("clustering", {})
    return {
        "method": row.get("method", "CrIBo"),
        "backbone": paper.BACKBONES.get(row["backbone"], row["backbone"]),
        "pretrain_dataset": paper.PRETRAINING.get(row["dataset"], row["dataset"]),
        "epochs": str(row["epochs"]),
        "losses": {key: name in losses for name, key in paper.LOSSES.items()},
        "clustering": clustering.get("algorithm"),
        "lambda_pos": clustering.get("lambda_pos"),
        "K": clustering.get("K"),
        "S": (settings or {}).get("memory_bank", {}).get("images"),
        "criterion": (settings or {}).get("matching", {}).get("criterion"),
    }


def is_counterpart(model: dict, cell: paper.Cell) -> bool:
    """Whether a model of `model_of` is set up as that of a printed value."""
    about = ("method", "pretrain_dataset", "epochs", *(["backbone"] if cell.backbone else []))
    if any(model[key] != getattr(cell, key) for key in about):
        return False
    return cell.method != "CrIBo" or all(model[key] == value for key, value in _stated(cell).items())


def _stated(cell: paper.Cell) -> dict:
    """What the paper states of a CrIBo model beyond backbone, data and epochs; what its losses do not read is left out."""
    factor, setting = cell.factor, cell.setting
    losses = {**ALL, **{key: factor[key] for key in ALL if key in factor}}
    stated: dict = {"losses": losses}
    reads_objects, reads_bank = losses["cv_o"] or losses["ci"], losses["ci"]
    if setting == "ablation_cycle_consistency":  # a grid over λ_pos, S and K: the table aggregates over it
        return {**stated, "criterion": {"cycle_consistency": "cycle", "none": "none"}[factor["criterion"]]}
    if setting == "ablation_supervised_oracle":
        clusters, neighbours = (factor[f"supervised_{what}"] for what in ("clustering", "bootstrapping"))
        stated |= {"criterion": "labels" if neighbours else "cycle", "S": factor["S"]}
        if clusters:
            return {**stated, "clustering": "labels"}
        return {**stated, "clustering": "sinkhorn", "lambda_pos": factor["lambda_pos"], "K": factor["K"]}
    lambda_pos, images, clusters = REPORTED[cell.pretrain_dataset]
    if cell.backbone == "ViT-S/8":  # of which the paper states none of the three
        return {**stated, "clustering": "sinkhorn", "criterion": "cycle"}
    if reads_objects:
        algorithm = factor.get("clustering", "sinkhorn")
        stated |= {"clustering": algorithm, "K": factor.get("K", clusters)}
        if algorithm == "sinkhorn":
            stated["lambda_pos"] = factor.get("lambda_pos", lambda_pos)
    if reads_bank:
        stated |= {"S": factor.get("S", images), "criterion": "cycle"}
    return stated


class Ours:
    """Our results, asked for by a printed cell. `scores` is results/scores; `plan` and `trained` come from results/plan/."""

    def __init__(self, plan: dict, trained: dict[str, dict], scores: str | Path):
        self.plan, self.folder = plan, Path(scores)
        self.models = {name: model_of(row, trained.get(name)) for name, row in plan["models"].items()}
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
        dataset = EVALUATION_SETS[cell.eval_dataset]
        task = cell.factor.get("task") or {"detection": "detection"}.get(cell.setting) or "dense_nn"
        if cell.setting in SEGMENTATION:
            values = [tree["value"] for tree in self._segmentation(model, dataset, *SEGMENTATION[cell.setting])]
            return Number(max(values)) if values else None  # the paper reports the best learning rate
        protocol = {"dense_nn": "dense_nn", "detection": "yolos", "image_knn": "knn"}[task]
        tree = self._tree(protocol, f"{model}-{dataset}.json", model, dataset)
        if tree is None:
            return None
        if protocol != "dense_nn":
            return Number(tree[METRICS[cell.metric]])
        score = tree["patch"].get(cell.factor.get("subsample", "1/1"))
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
