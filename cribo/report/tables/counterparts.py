"""Find which of our models correspond to a value that the paper prints, and what that value is.

A model is the counterpart of a printed cell if it is set up as the paper says that cell's model was: the same method,
backbone, photos (all of them and no others), epochs and losses, no local crops, and the same λ_pos, S, K, clustering and
criterion where its losses use them. L_cv^g alone is DINO without local crops, so a model that is called DINO and has none is
the counterpart of both. training_notes.py reports other differences. Published weights count as set up like the paper's.
"""

from __future__ import annotations

from collections.abc import Iterable

from cribo.report.experiment.photos import are_the_papers
from cribo.report.paper import values as paper
from cribo.report.tables.table import NONE, Cell, Number

# Appendix A.1: λ_pos, S and K of the reported models, by pretraining data.
REPORTED = {"COCO": (2.0, 25000, 64), "IN1K": (1.0, 25000, 32)}
# Appendix C.4: the grid that Table 8 aggregates over.
CYCLE_GRID = {"K": (4, 8, 12), "lambda_pos": (1.0, 2.0, 4.0), "S": (25000, 50000)}
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
UNCOMPARED = ("ablation_cycle_consistency", "profile", "runtime")  # values of many models, or of a machine
Score = tuple[str, str, str | int | None]  # protocol, data set, and which of the protocol's scores


def models_of(plan: dict, trained: dict[str, dict]) -> dict[str, dict]:
    """Describe the evaluated models in the paper's terms; `plan`: from `with_photos`, `trained`: results/plan/pretrain/*."""
    return {name: model_of(row, trained.get(name)) for name, row in plan["models"].items()}


def model_of(row: dict, settings: dict | None) -> dict:
    """Describe one model, as in `models_of`; without `settings` it was not trained here."""
    photos = paper.PRETRAINING.get(row["dataset"] or "", row["dataset"])
    model = {
        "method": row.get("method", "CrIBo"),
        "backbone": paper.BACKBONES.get(row["backbone"], row["backbone"]),
        "pretrain_dataset": photos,
        "epochs": str(row["epochs"]),
        "losses": dict.fromkeys(ALL, False) | {paper.LOSSES.get(name, name): True for name in row["losses"]},
        "settings": settings,
        "other_photos": None,
        "local_crops": 0,
    }
    if settings is None:
        reported = dict(zip(("lambda_pos", "S", "K"), REPORTED.get(photos, (None, None, None)), strict=True))
        return model | {"clustering": "sinkhorn", "criterion": "cycle"} | reported
    clustering = settings.get("clustering", {})
    if "photos" in row and not are_the_papers(photos, row["photos"], settings["optimisation"]["batch_size"]):
        model["other_photos"] = photos, row["photos"]
    return model | {
        "local_crops": settings.get("views", {}).get("local", {}).get("count", 0),
        "clustering": clustering.get("algorithm"),
        "lambda_pos": clustering.get("lambda_pos"),
        "K": clustering.get("K"),
        "S": settings.get("memory_bank", {}).get("images"),
        "criterion": settings.get("matching", {}).get("criterion"),
    }


def is_counterpart(model: dict, cell: paper.Printed) -> bool:
    """Whether a model from `model_of` is set up like the one behind a printed value."""
    about = ("pretrain_dataset", "epochs", *(["backbone"] if cell.backbone else []))
    if model["other_photos"] or any(model[key] != getattr(cell, key) for key in about):
        return False
    if cell.method != "CrIBo":
        return model["method"] == cell.method
    if cell.setting == "ablation_cycle_consistency" and any(model[key] not in grid for key, grid in CYCLE_GRID.items()):
        return False
    return model["method"] in ("CrIBo", "DINO") and all(model[key] == value for key, value in _stated(cell).items())


def _stated(cell: paper.Printed) -> dict:
    """What the paper states of a CrIBo model beyond backbone, data and epochs, without what its losses do not use."""
    factor, setting = cell.factor, cell.setting
    losses = {**ALL, **{key: factor[key] for key in ALL if key in factor}}
    stated: dict = {"losses": losses, "local_crops": 0}
    reads_objects, reads_bank = losses["cv_o"] or losses["ci"], losses["ci"]
    if setting == "ablation_cycle_consistency":
        criterion = {"cycle_consistency": "cycle", "none": "none"}[factor["criterion"]]
        return {**stated, "clustering": "sinkhorn", "criterion": criterion}
    if setting == "ablation_supervised_oracle":
        clusters, neighbours = (factor[f"supervised_{what}"] for what in ("clustering", "bootstrapping"))
        stated |= {"criterion": "labels" if neighbours else "cycle", "S": factor["S"]}
        if clusters:
            return {**stated, "clustering": "labels"}
        return {**stated, "clustering": "sinkhorn", "lambda_pos": factor["lambda_pos"], "K": factor["K"]}
    lambda_pos, images, clusters = REPORTED[cell.pretrain_dataset]
    if cell.backbone == "ViT-S/8":  # for it the paper states none of the three
        return {**stated, "clustering": "sinkhorn", "criterion": "cycle"}
    if reads_objects:
        algorithm = factor.get("clustering", "sinkhorn")
        stated |= {"clustering": algorithm, "K": factor.get("K", clusters)}
        if algorithm == "sinkhorn":
            stated["lambda_pos"] = factor.get("lambda_pos", lambda_pos)
    if reads_bank:
        stated |= {"S": factor.get("S", images), "criterion": "cycle"}
    return stated


def score_of(cell: paper.Printed) -> Score:
    """Which of our scores measures the same as a printed value."""
    dataset = EVALUATION_SETS[cell.eval_dataset]
    if cell.setting in SEGMENTATION:
        protocol, layers = SEGMENTATION[cell.setting]
        return protocol, dataset, layers
    task = "detection" if cell.setting == "detection" else cell.factor.get("task", "dense_nn")
    if task == "dense_nn":
        return "dense_nn", dataset, cell.factor.get("subsample", "1/1")
    return {"detection": "yolos", "image_knn": "knn"}[task], dataset, cell.metric


def printed(models: Iterable[dict], score: Score) -> Cell:
    """The paper's value of a score for one of our rows, if all its models are counterparts of one cell; else a dash.

    Table 4 is searched last: it repeats the default beside each sweep, and once with a value that differs from Table 5's.
    """
    models = list(models)
    for cell in sorted(paper.cells(), key=lambda cell: cell.table == 4):
        compared = cell.setting not in UNCOMPARED and score_of(cell) == score
        if compared and all(is_counterpart(model, cell) for model in models):
            return Number(float(cell.value))
    return NONE
