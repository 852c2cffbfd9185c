"""DETR's set loss: each true box is assigned to one detection token; the other tokens learn to predict "no object".

The matching and its costs come from transformers. The sums are our own, so that the result depends neither on how a batch is
split over processes nor on which photos are encoded together.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.image_transforms import center_to_corners_format
from transformers.loss.loss_for_object_detection import HungarianMatcher, generalized_box_iou

CLASS_COST, L1_COST, GIOU_COST = 1.0, 5.0, 2.0  # in the matching
L1_WEIGHT, GIOU_WEIGHT, NO_OBJECT = 5.0, 2.0, 0.1  # in the loss; NO_OBJECT: cross-entropy weight of tokens without an object

_match = HungarianMatcher(CLASS_COST, L1_COST, GIOU_COST)


def set_loss(
    logits: Float[Tensor, "B T C"],
    boxes: Float[Tensor, "B T 4"],
    targets: list[dict[str, Tensor]],
    images: int,
    objects: int,
) -> dict[str, Tensor]:
    """Return the weighted loss terms of these B photos. Summed over all photos of a batch, they give the batch's loss.

    Cross-entropy is a weighted mean over the tokens of each photo, then a mean over the batch's `images`. L1 and GIoU are
    sums over boxes, divided by the batch's number of `objects` (at least 1). YOLOS is trained like this: one photo per GPU.

    Args:
        targets: for each photo, "class_labels" `[n]` and "boxes" `[n, 4]` (centre and size, as shares of the photo).
    """
    matches = _match({"logits": logits, "pred_boxes": boxes}, targets)
    none = logits.shape[2] - 1
    weights = logits.new_ones(none + 1)
    weights[none] = NO_OBJECT
    terms = dict.fromkeys(("class", "l1", "giou"), logits.sum() * 0.0)  # a photo without objects still has a graph
    for photo, (tokens, order) in enumerate(matches):
        wanted = torch.full((logits.shape[1],), none, device=logits.device)
        wanted[tokens] = targets[photo]["class_labels"][order]
        terms["class"] = terms["class"] + torch.nn.functional.cross_entropy(logits[photo], wanted, weights) / images
        found, true = boxes[photo, tokens], targets[photo]["boxes"][order]
        terms["l1"] = terms["l1"] + L1_WEIGHT * (found - true).abs().sum() / max(1, objects)
        overlap = generalized_box_iou(center_to_corners_format(found), center_to_corners_format(true)).diagonal()
        terms["giou"] = terms["giou"] + GIOU_WEIGHT * (1 - overlap).sum() / max(1, objects)
    return terms
