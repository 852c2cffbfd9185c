"""The forms in which others publish weights, each as the way from the file's tree to timm's names.

Free of torch, so that params.yaml is checked in an instant.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """Weights lie in `entry` of the file ("" for the file itself), under keys that begin with `prefix`.

    Keys that begin with one of `dropped` belong to other parts (heads, the student, a decoder) and are left out; where both
    fit, the longer one counts. Any other key is an error. `convert` names what else is to be done, in convert.py.
    """

    entry: str = ""
    prefix: str = ""
    dropped: tuple[str, ...] = ()
    convert: str = ""


FORMATS = {
    # A dictionary of tensors under timm's names: timm's own files, DINO's backbones. A classifier is left out.
    "timm": Format("", "", ("head.weight", "head.bias", "head.fc.", "head_dist.", "fc.", "classifier.")),
    # The teacher of DINO's and iBOT's full checkpoints, of CrOC and of CrIBo.
    "teacher": Format("teacher", "backbone.", ("head.",)),
    # What iBOT, SlotCon and ORL publish as backbone alone.
    "state_dict": Format("state_dict"),
    "mae": Format("model", "", ("decoder_", "mask_token")),
    "dinov2": Format("", "", ("mask_token",), "dinov2"),
    # All that is not the backbone, the published loader ignores.
    "timet": Format("", "feature_extractor.backbone.", ("",)),
    # Full checkpoints: the momentum encoder, which SlotCon's own converters take; ORL's online backbone.
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
    # scenic's checkpoint; of its two sets of weights, those that were optimised.
    "loca": Format("params", "", (), "flax"),
}
