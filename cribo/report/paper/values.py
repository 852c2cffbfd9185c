"""What the paper reports, cell by cell; counterparts.py says which of our models correspond to a cell.

Values in results.csv are from the CrIBo paper: Lebailly, Stegmüller, Bozorgtabar, Thiran, Tuytelaars, "CrIBo:
Self-Supervised Learning via Cross-Image Object-Level Bootstrapping", ICLR 2024, arXiv 2310.07855, Tables 1 to 12. A row
is one printed value; `factor` is JSON (`subsample`: share of the training images; `cv_g`, `cv_o`, `ci`: losses that are
on). Table 5 does not print its share of training images: it is 1/1, as the last row equals Table 1's at 1/1.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SOURCE = "CrIBo, ICLR 2024, arXiv 2310.07855"
DATASETS = {"voc2012": "Pascal VOC", "ade20k": "ADE20K"}
SEGMENTATION_DATASETS = {**DATASETS, "pascal_context": "Pascal Context", "coco_stuff": "COCO-Stuff 164K"}
PRETRAINING = {"coco": "COCO", "coco_stuff": "COCO", "imagenet": "IN1K"}  # coco_stuff: the photos of coco, with masks
BACKBONES = {"vit_small_16": "ViT-S/16", "vit_small_8": "ViT-S/8", "vit_base_16": "ViT-B/16"}
VALUE_DATASETS = {"knn": {"imagenet": "IN1K"}, "yolos": {"coco": "COCO"}}  # by protocol: names in params.yaml → the paper's
LOSSES = {"global": "cv_g", "cross_view": "cv_o", "cross_image": "ci"}  # names in params.yaml → keys in `factor`


@dataclass(frozen=True)
class Printed:
    """One value as printed. `epochs` and `value` are text, since some are not numbers (800+30, 04:45)."""

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
def cells() -> tuple[Printed, ...]:
    """Every value of Tables 1 to 12, in the paper's order."""
    text = files("cribo.report.paper").joinpath("results.csv").read_text(encoding="utf-8")
    return tuple(
        Printed(**{**row, "table": int(row["table"]), "factor": json.loads(row["factor"] or "{}")})
        for row in csv.DictReader(text.splitlines())
    )
