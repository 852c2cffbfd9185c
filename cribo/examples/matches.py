"""Object-level matches across photos (the paper's Figs. 4 and 5): a view's regions, each with its neighbour in the bank.

Training's own bank lives in the resumable state and goes with it. What is shown is computed anew by the exported teacher:
views, clusters, objects, neighbours and criterion are those of one training step after the last, and the bank holds the
objects of `bank` training photos.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cribo.data.loader import Batch, ViewPairs
from cribo.data.positions import patch_positions
from cribo.data.readers import PreparedSet
from cribo.examples.choice import spread
from cribo.examples.pictures import enlarged, lit, palette, save, tinted
from cribo.method.clustering import ClusteringSettings, joint_space_clustering
from cribo.method.kmeans import KMeansSettings, kmeans
from cribo.method.matching import accept
from cribo.method.memory_bank import MemoryBank, push, retrieve
from cribo.method.objects import pool_objects, seen_in_both
from cribo.method.oracle import LabelSettings, label_clusters, object_classes, same_classes
from cribo.model.encoder import Encoder
from cribo.training.update import clustering_settings, needs_masks, seeds_an_image

PAIRS = 6  # regions of a photo that are shown with their neighbour
SIDE = 144
AT_ONCE = 32  # photos encoded together


def matches(encoder: Encoder, data: PreparedSet, settings: dict, out: Path) -> dict | None:
    """Pictures under `out`, and what they show; None for a model without objects. `settings["model"]` is its training's.

    Of each photo the accepted matches come first, then the others by cosine.
    """
    model = settings["model"]
    if model is None or "clustering" not in model:
        return None
    how, K = clustering_settings(model["clustering"]), model["clustering"]["K"]
    records = data.splits["train"]
    criterion = model.get("matching", {}).get("criterion", "cycle")
    pool = min(max(settings["photos"], model.get("matching", {}).get("pool_images", 32), 8), len(records) // 2)
    bank_size = min(settings["bank"], len(records) - pool)
    queries = spread(records, pool)
    asked = {record.id for record in queries}
    kept = spread([record for record in records if record.id not in asked], bank_size)
    epoch = model["optimisation"]["epochs"]  # whose draws no training step has seen

    def encode(chosen: list) -> tuple[Batch, Int[Tensor, "n 2N"], Float[Tensor, "2 n K d"], Tensor | None]:
        return _objects(encoder, chosen, model, how, epoch)

    stored, stored_labels, stored_objects, stored_classes = encode(kept)
    bank = MemoryBank.empty(len(kept), K, encoder.width, stored_objects.device)
    ids = torch.arange(len(kept), device=stored_objects.device)
    push(bank, stored_objects, seen_in_both(stored_labels, K), ids, stored_classes)
    batch, labels, objects, classes = encode(queries)
    valid = seen_in_both(labels, K)
    found = retrieve(bank, objects, valid)
    same = None if classes is None else same_classes(classes, found.classes)
    accepted = accept(objects, valid, found.partners, found.found, criterion, pool, same)

    grid = model["views"]["size"] // encoder.patch_size
    which = _nearest_entries(bank, found, stored_objects)
    colours = palette(K)
    photos = []
    for i in range(min(settings["photos"], pool)):
        view, regions = batch.views[i, 0], labels[i, : grid**2].view(grid, grid).cpu().numpy()
        order = sorted(
            (k for k in range(K) if found.found[0, i, k]),
            key=lambda k: (-int(accepted[0, i, k]), -found.similarity[0, i, k].item()),
        )
        pairs = []
        for n, k in enumerate(order[:PAIRS]):
            slot, entry = int(found.slots[0, i, k]), int(which[0, i, k])
            there = stored_labels[slot, : grid**2].view(grid, grid).cpu().numpy() == entry
            mine = _picture(lit(_pixels(view), regions == k, colours[k]), out / f"match-{i}-{n}-object.png")
            theirs = _picture(lit(_pixels(stored.views[slot, 0]), there, colours[k]), out / f"match-{i}-{n}-neighbour.png")
            pairs.append(
                {
                    "object": mine,
                    "neighbour": theirs,
                    "id": kept[slot].id,
                    "cosine": round(found.similarity[0, i, k].item(), 3),
                    "accepted": bool(accepted[0, i, k]),
                    "colour": "#" + bytes(colours[k]).hex(),
                }
            )
        photos.append(
            {
                "id": queries[i].id,
                "view": _picture(_pixels(view), out / f"match-{i}-view.png"),
                "regions": _picture(tinted(_pixels(view), regions, colours), out / f"match-{i}-regions.png"),
                "objects": int(valid[i].sum()),
                "accepted": int(accepted[0, i].sum()),
                "pairs": pairs,
            }
        )
    ratio = accepted.float().mean().item()
    return {"bank": len(kept), "pool": pool, "criterion": criterion, "K": K, "ratio": round(ratio, 4), "photos": photos}


def _objects(encoder: Encoder, records: list, model: dict, how, epoch: int):
    """Views, labels, objects and (where an oracle asks) classes of photos, as in a training step; nothing is learnt."""
    grid = model["views"]["size"] // encoder.patch_size
    masks = needs_masks(model)
    pairs = ViewPairs(records, model["views"], grid, seeds_an_image(model), model["seed"], masks)
    batches, labels, objects, classes = [], [], [], []
    for start in range(0, len(records), AT_ONCE):
        items = [pairs[epoch, i] for i in range(start, min(start + AT_ONCE, len(records)))]
        batch = Batch(*(torch.stack(parts) for parts in zip(*items, strict=True)))
        patches = encoder(batch.views.flatten(0, 1))[1].flatten(1, 2).unflatten(0, (-1, 2)).flatten(1, 2)
        own = _cluster(patches, batch, how, grid)
        K = model["clustering"]["K"]
        batches.append(batch)
        labels.append(own)
        objects.append(pool_objects(patches, own, K))
        if masks:
            classes.append(object_classes(own, batch.classes.to(own.device), K))
    whole = Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
    return whole, torch.cat(labels), torch.cat(objects, dim=1), torch.cat(classes) if masks else None


def _cluster(patches: Float[Tensor, "B n d"], batch: Batch, how, grid: int) -> Int[Tensor, "B n"]:
    device = patches.device
    match how:
        case ClusteringSettings():
            together = replace(how, normalise_images=len(patches))
            return joint_space_clustering(
                patches, patch_positions(batch.boxes.to(device), grid), batch.seeds.to(device), together
            )
        case KMeansSettings():
            return kmeans(patches, batch.seeds.to(device), how)
        case LabelSettings():
            return label_clusters(batch.classes.to(device), how.K)


def _nearest_entries(bank: MemoryBank, found, objects: Float[Tensor, "2 n K d"]) -> Int[Tensor, "2 B K"]:
    """Which of its photo's K objects each neighbour is."""
    picked = torch.stack([objects[m][found.slots[m]] for m in range(2)])  # [2, B, K, K, d]
    return (
        (picked - found.objects[..., None, :]).abs().sum(dim=-1).masked_fill(~_valid(bank, found), torch.inf).argmin(dim=-1)
    )


def _valid(bank: MemoryBank, found) -> Tensor:
    return bank.valid[found.slots]


def _pixels(view: Tensor) -> np.ndarray:
    return view.permute(1, 2, 0).numpy()


def _picture(pixels: np.ndarray, path: Path) -> str:
    return save(enlarged(pixels, SIDE), path)
