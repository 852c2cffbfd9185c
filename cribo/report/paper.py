"""What the paper reports, cell by cell, and which of its cells is the counterpart of one of ours.

Values in paper_results.csv are from the CrIBo paper: Lebailly, Stegmüller, Bozorgtabar, Thiran, Tuytelaars, "CrIBo:
Self-Supervised Learning via Cross-Image Object-Level Bootstrapping", ICLR 2024, arXiv 2310.07855, Tables 1 to 12. A row
is one printed value; `factor` is JSON (`subsample`: share of the training images; `cv_g`, `cv_o`, `ci`: losses that are
on). Table 5 does not print its share of training images: 1/1 follows from its last row being Table 1's row at 1/1.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SOURCE = "CrIBo, ICLR 2024, arXiv 2310.07855"
DATASETS = {"voc2012": "Pascal VOC", "ade20k": "ADE20K"}
SEGMENTATION_DATASETS = {**DATASETS, "pascal_context": "Pascal Context", "coco_stuff": "COCO-Stuff 164K"}
PRETRAINING = {"coco": "COCO", "coco_stuff": "COCO", "imagenet": "IN1K"}  # coco_stuff: the photos of coco, with masks
BACKBONES = {"vit_small_16": "ViT-S/16", "vit_small_8": "ViT-S/8", "vit_base_16": "ViT-B/16"}
LOSSES = {"global": "cv_g", "cross_view": "cv_o", "cross_image": "ci"}  # names in params.yaml → keys in `factor`


@dataclass(frozen=True)
class Cell:
    """One value as printed. `epochs` and `value` are text, since some are no numbers (800+30, 04:45)."""

    table: int
    setting: str
    method: str
    backbone: str
    pretrain_dataset: str
    epochs: str
    eval_dataset: str
    factor: dict
    metric: str
    value: str
    reproduction_note: str


@cache
def cells() -> tuple[Cell, ...]:
    """Every value of Tables 1 to 12, in the paper's order."""
    text = files("cribo.report").joinpath("paper_results.csv").read_text(encoding="utf-8")
    return tuple(
        Cell(**{**row, "table": int(row["table"]), "factor": json.loads(row["factor"] or "{}")})
        for row in csv.DictReader(text.splitlines())
    )


def dense_nn(
    backbone: str | None,
    pretraining: str | None,
    epochs: int | str | None,
    losses: Sequence[str],
    dataset: str,
    factor: int,
    method: str | None = "CrIBo",
) -> float | None:
    """The paper's dense nearest-neighbour mIoU (%) of a model set up like ours, None where it reports none.

    For CrIBo all three losses are the method of Table 1; the others are rows of Table 5 (share 1/1). Names are those of
    params.yaml, or the paper's. Our patch mIoU is the counterpart: the paper scores patch predictions.
    """
    share = f"1/{factor}"
    on = {key: name in losses for name, key in LOSSES.items()}
    full = {"subsample": share} if method != "CrIBo" or all(on.values()) else None
    ablation = {**on, "task": "dense_nn", "subsample": share}
    for cell in cells():
        same_model = (
            cell.method == method
            and cell.backbone == BACKBONES.get(backbone or "", backbone)
            and cell.pretrain_dataset == PRETRAINING.get(pretraining or "", pretraining)
            and cell.epochs == str(epochs)
        )
        wanted = {"dense_nn": full, "ablation_loss": ablation}.get(cell.setting)
        if same_model and cell.eval_dataset == DATASETS.get(dataset) and cell.factor == wanted:
            return float(cell.value)
    return None


VALUE_DATASETS = {"knn": {"imagenet": "IN1K"}, "yolos": {"coco": "COCO"}}  # by protocol: names in params.yaml → the paper's
TASKS = {"knn": "image_knn", "yolos": "detection"}  # names in the factor of Table 5


def single_value(
    protocol: str,
    backbone: str | None,
    pretraining: str | None,
    epochs: int | str | None,
    losses: Sequence[str],
    dataset: str,
    metric: str,
    method: str | None = "CrIBo",
) -> float | None:
    """The paper's value (%) of a protocol with one number, for a model set up like ours; None where it reports none.

    For CrIBo rows of Table 5 with any set of losses, and Table 6 (detection) for all three; for others Table 6.
    """
    on = {key: name in losses for name, key in LOSSES.items()}
    for cell in cells():
        same_model = (
            cell.method == method
            and cell.backbone == BACKBONES.get(backbone or "", backbone)
            and cell.pretrain_dataset == PRETRAINING.get(pretraining or "", pretraining)
            and cell.epochs == str(epochs)
        )
        ablation = cell.setting == "ablation_loss" and cell.factor == {**on, "task": TASKS[protocol]}
        table_6 = cell.setting == TASKS[protocol] and (method != "CrIBo" or all(on.values()))
        same_score = cell.eval_dataset == VALUE_DATASETS[protocol].get(dataset) and cell.metric == metric
        if same_model and same_score and (ablation or table_6):
            return float(cell.value)
    return None


def segmentation(
    setting: str,
    backbone: str | None,
    pretraining: str | None,
    epochs: int | str | None,
    losses: Sequence[str],
    dataset: str,
    method: str | None = "CrIBo",
) -> float | None:
    """The paper's mIoU (%) with a trained decoder of a model set up like ours, None where it reports none.

    `setting`: "linear" is Table 2, "finetune" Table 3, "linear_concat4" Table 7; all are of the whole method.
    """
    for cell in cells():
        same_model = (
            cell.method == method
            and cell.backbone == BACKBONES.get(backbone or "", backbone)
            and cell.pretrain_dataset == PRETRAINING.get(pretraining or "", pretraining)
            and cell.epochs == str(epochs)
            and (method != "CrIBo" or set(losses) == set(LOSSES))
        )
        if same_model and cell.setting == setting and cell.eval_dataset == SEGMENTATION_DATASETS.get(dataset):
            return float(cell.value)
    return None
