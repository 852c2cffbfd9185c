"""The formats in which others publish weights, each as rules that lead from the file's tree to timm's names.

This module does not import torch, so that params.yaml is checked in an instant.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """Rules of one format: weights are in `entry` of the file ("" for the file itself), under keys starting with `prefix`.

    Keys that start with one of `dropped` belong to other parts (heads, the student, a decoder) and are left out; if both
    fit, the longer one counts. Any other key is an error. `convert` names a further conversion, done in convert.py.
    """

    entry: str = ""
    prefix: str = ""
    dropped: tuple[str, ...] = ()
    convert: str = ""


FORMATS = {
    # A dictionary of tensors under timm's names: timm's own files, DINO's backbones. Any classifier is left out.
    "timm": Format("", "", ("head.weight", "head.bias", "head.fc.", "head_dist.", "fc.", "classifier.")),
    # The teacher of DINO's and iBOT's full checkpoints, of CrOC and of CrIBo.
    "teacher": Format("teacher", "backbone.", ("head.",)),
    # The files of iBOT, SlotCon and ORL with only the backbone.
    "state_dict": Format("state_dict"),
    "mae": Format("model", "", ("decoder_", "mask_token")),
    "dinov2": Format("", "", ("mask_token",), "dinov2"),
    # The published loader ignores everything except the backbone.
    "timet": Format("", "feature_extractor.backbone.", ("",)),
    # Full checkpoints: SlotCon's momentum encoder, which its own converters take, and ORL's online backbone.
    "slotcon": Format(
        "model",
        "module.encoder_k.",
        (
            "module.encoder_k.fc.",
            "module.encoder_q.",
            "module.projector_",
            "module.grouping_",
            "module.predictor_slot.",
            "module.center",
        ),
    ),
    "orl": Format(
        "state_dict",
        "backbone.",
        ("online_net.", "target_net.", "neck.", "global_head.", "local_intra_head.", "local_inter_head."),
    ),
    # scenic's checkpoint has two sets of weights; this takes the optimised ones.
    "loca": Format("params", "", (), "flax"),
}
