"""The JSON of one cell: mIoU, IoU per class, and the protocol card as resolved (docs/protocols.md explains every field)."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from jaxtyping import Int

from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.harness.result import known_percent, percent, result
from cribo.evaluation.segmentation.predict import mean_iou
from cribo.evaluation.segmentation.train import POWER
from cribo.model.encoder import Encoder

MMLAB = ("onedl-mmsegmentation", "onedl-mmcv", "onedl-mmengine")  # their code affects the score too


def cell(
    protocol: str,
    encoder: Encoder,
    data: PreparedSet,
    settings: dict,
    lr: float,
    layers: int,
    matrix: Int[np.ndarray, "C C"],
    cost: dict,
) -> dict:
    """Return the JSON tree for one model on one data set at one learning rate; `layers` is 1 for Segmenter."""
    found = mean_iou(matrix)
    pairs = zip(data.classes, found.per_class.tolist(), strict=True)
    scores = {
        "data_warnings": list(data.warnings),
        "learning_rate": lr,
        "layers": layers,
        "pixel_accuracy": percent(float(matrix.trace() / matrix.sum())),
        "per_class": {name: known_percent(share) for name, share in pairs},
        "n": {
            "classes": len(data.classes),
            "train_images": len(data.splits["train"]),
            "val_images": len(data.splits["val"]),
            "pixels_scored": int(matrix.sum()),
            "classes_in_mean": found.occurring,
        },
    }
    resolved = card(protocol, encoder, settings, lr, layers, data.ignore)
    tree = result(protocol, encoder.name, data.name, data.digest, 100 * found.mean, scores, resolved, cost)
    tree["versions"] |= {name: version(name) for name in MMLAB}
    return tree


def card(protocol: str, encoder: Encoder, settings: dict, lr: float, layers: int, ignore: int) -> dict:
    """Return the protocol card: every choice as resolved, in words and values."""
    slope, offset = settings["end_lr"]
    own = {key: value for key, value in settings.items() if key != "dataset"}
    shared = {
        "learning_rate": f"{lr:g}, polynomial of power {POWER:g} to {slope * lr + offset:g}, no warm-up",
        "optimiser": f"Adam, β (0.9, 0.999), L2 {settings['weight_decay']:g}",
        "train": f"photos fitted into {settings['scale']} px × {settings['ratio']}, crop, flip, photometric distortion",
        "test": f"photos fitted into {settings['scale']} px, window {settings['window']} px every {settings['stride']} px, "
        "logits averaged and enlarged bilinearly to the photo's own size; last iteration; one scale, no flip",
        "loss": f"cross-entropy of pixels, value {ignore} left out; sum over labelled pixels / number of all pixels",
        "metric": "IoU from one confusion matrix over the split, mean over the classes that occur in truth or prediction",
        "input": "the encoder's mean and deviation" if settings["statistics"] == "encoder" else "127.5 ± 127.5 a channel",
        "position_embedding": f"resampled once to a photo of {settings['crop']} px, bicubic",
        "settings": own,
    }
    if protocol == "segmenter":
        what = {
            "card": "docs/protocols.md, Segmenter",
            "trained": "the whole encoder and the decoder",
            "decoder": f"mask transformer, {settings['decoder_layers']} blocks, "
            f"{encoder.net.blocks[0].attn.num_heads} heads, one learned token a class",
        }
    else:
        norm = "each after the final norm" if settings["layer_norm"] == "each" else "the last after the final norm"
        what = {
            "card": "docs/protocols.md, linear segmentation",
            "trained": "the decoder; the encoder is frozen and in evaluation mode, but for its drop path if that is above 0",
            "decoder": "1×1 convolution on patch tokens, logits enlarged bilinearly",
            "features": f"last {layers} blocks concatenated, {norm}" if layers > 1 else "last block after the final norm",
        }
    return {**what, **shared}
