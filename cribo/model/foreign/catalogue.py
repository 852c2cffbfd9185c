"""Encoders that the paper compares with, and a few more: where each file is published, its licence, what it holds.

Addresses are those of the authors' own pages. We know of none that publishes a sha256. If one does, or if you have verified
a file, give the digest as `sha256` and the import checks it. This module does not import torch, so that params.yaml is
checked in an instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

VIT_S, VIT_B, RESNET_50 = "vit_small_patch16_224", "vit_base_patch16_224", "resnet50"
# LOCA has no CLS token, its final norm acts on every patch, and JAX's GELU is the tanh approximation.
LOCA = {"class_token": False, "global_pool": "avg", "fc_norm": False, "act_layer": "gelu_tanh"}


@dataclass(frozen=True)
class Published:
    """A published encoder. `file`: its file name here; `method`, `data`, `epochs`: its row in the paper's tables, if any."""

    file: str
    url: str
    licence: str
    format: str
    architecture: str
    args: dict = field(default_factory=dict)
    method: str | None = None
    data: str | None = None
    epochs: str | None = None
    sha256: str | None = None


def _leuven(file: str, number: int, licence: str, architecture: str, method: str, data: str, epochs: str) -> Published:
    url = f"https://rdr.kuleuven.be/api/access/datafile/{number}"
    return Published(file, url, licence, "teacher", architecture, {}, method, data, epochs)


def _meta(path: str, licence: str, form: str, architecture: str, *row: str) -> Published:
    return Published(
        path.rpartition("/")[2], f"https://dl.fbaipublicfiles.com/{path}", licence, form, architecture, {}, *row
    )


_CRIBO = "Apache-2.0 (of the authors' repository)"
_SLOTCON = "https://connecthkuhk-my.sharepoint.com/:u:/g/personal/xwen_connect_hku_hk"
_IBOT = "https://drive.google.com/file/d"
_LOCA = "https://storage.googleapis.com/scenic-bucket/loca"

CATALOGUE = {
    "cribo_vits16_coco": _leuven("cribo-vits16-coco.pth", 159667, _CRIBO, VIT_S, "CrIBo", "COCO", "300"),
    "cribo_vits16_in1k": _leuven("cribo-vits16-in1k.pth", 159665, _CRIBO, VIT_S, "CrIBo", "IN1K", "800"),
    "cribo_vitb16_in1k": _leuven("cribo-vitb16-in1k.pth", 159666, _CRIBO, VIT_B, "CrIBo", "IN1K", "400"),
    "croc_vits16_coco": _leuven(
        "croc-vits16-coco.pth", 31383, "MIT (of the authors' repository)", VIT_S, "CrOC", "COCO", "300"
    ),
    "croc_vits16_in1k": _leuven(
        "croc-vits16-in1k.pth", 28925, "MIT (of the authors' repository)", VIT_S, "CrOC", "IN1K", "300"
    ),
    "dino_vits16_in1k": _meta(
        "dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth", "Apache-2.0", "timm", VIT_S, "DINO", "IN1K", "800"
    ),
    "dino_vitb16_in1k": _meta(
        "dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth", "Apache-2.0", "timm", VIT_B, "DINO", "IN1K", "400"
    ),
    "mae_vitb16_in1k": _meta("mae/pretrain/mae_pretrain_vit_base.pth", "CC-BY-NC-4.0", "mae", VIT_B, "MAE", "IN1K", "1600"),
    "dinov2_vits14": _meta(
        "dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth", "Apache-2.0", "dinov2", "vit_small_patch14_dinov2"
    ),
    "dinov2_vits14_reg": _meta(
        "dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth", "Apache-2.0", "dinov2", "vit_small_patch14_reg4_dinov2"
    ),
    "ibot_vits16_in1k": Published(
        "ibot-vits16-in1k.pth", f"{_IBOT}/1di_xSqKxEwp7TFkis8fWkhYOYH1PagkH", "Apache-2.0", "state_dict", VIT_S
    ),
    "ibot_vitb16_in1k": Published(
        "ibot-vitb16-in1k.pth", f"{_IBOT}/1JgdVNX0zjYy9AoUEZO0BILOlFVH-1Vfu", "Apache-2.0", "state_dict", VIT_B
    ),
    "timet_vits16": Published(
        "TimeT.pth",
        "https://www.dropbox.com/scl/fi/nnx2mm8ian9w49vstpgz0/TimeT.pth?rlkey=w9q3hvxd51nb63ammy33qhry0&dl=0",
        "not stated with the file",
        "timet",
        VIT_S,
        {},
        "TimeT",
        "IN1K+YTVOS",
        "800+30",
    ),
    "loca_vitb16_in1k": Published(
        "loca_vbase_imnet1k", f"{_LOCA}/loca_vbase_imnet1k", "Apache-2.0", "loca", VIT_B, LOCA, "LOCA", "IN1K", "600"
    ),
    "loca_vits16_in1k": Published("loca_vsmall_imnet1k", f"{_LOCA}/loca_vsmall_imnet1k", "Apache-2.0", "loca", VIT_S, LOCA),
    "slotcon_r50_coco": Published(
        "slotcon-r50-coco.pth",
        f"{_SLOTCON}/EZ0wZDBEZ6tEuhHskPZ_Y6gBSTeaBrQd8qLhwjzRmD6MPQ",
        "Apache-2.0",
        "slotcon",
        RESNET_50,
        {},
        "SlotCon",
        "COCO",
        "800",
    ),
    "slotcon_r50_in1k": Published(
        "slotcon-r50-in1k.pth",
        f"{_SLOTCON}/EZ9bTfGqscZBrRCR9ca8gHoBymN4gCdLGPtYOVy6GXqpfw",
        "Apache-2.0",
        "slotcon",
        RESNET_50,
        {},
        "SlotCon",
        "IN1K",
        "200",
    ),
    "orl_r50_coco": Published(
        "orl-r50-coco.pth",
        "https://drive.google.com/drive/folders/1oWzNZpoN_SPc56Gr-l3AlgGSv8jG1izG",
        "not stated with the file",
        "orl",
        RESNET_50,
        {},
        "ORL",
        "COCO",
        "800",
    ),
}
# The paper's name of each architecture.
PRINTED = {VIT_S: "ViT-S/16", VIT_B: "ViT-B/16", RESNET_50: "ResNet-50"}
