"""Photos as a training step would see them after the last update of the weights: two views, their clusters and objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from cribo.data.batches.loader import Batch, ViewPairs
from cribo.data.batches.positions import patch_positions
from cribo.data.prepared.readers import Record
from cribo.method.clustering import ClusteringSettings, joint_space_clustering
from cribo.method.kmeans import KMeansSettings, kmeans
from cribo.method.objects import pool_objects, seen_in_both
from cribo.method.oracle import LabelSettings, label_clusters, object_classes
from cribo.model.encoder import Encoder
from cribo.training.course import clustering_settings, needs_masks, seeds_an_image

AT_ONCE = 32  # photos encoded together


@dataclass(frozen=True)
class Objects:
    """Views and objects of n photos. `classes` is None unless an oracle needs it; `grid`: patches along a view's side."""

    views: UInt8[Tensor, "n 2 3 S S"]
    labels: Int[Tensor, "n 2N"]
    objects: Float[Tensor, "2 n K d"]
    valid: Bool[Tensor, "n K"]
    classes: UInt8[Tensor, "n K"] | None
    grid: int

    def pixels(self, photo: int) -> UInt8[np.ndarray, "S S 3"]:
        """Return a photo's first view."""
        return self.views[photo, 0].permute(1, 2, 0).numpy()

    def regions(self, photo: int) -> Int[np.ndarray, "g g"]:
        """Return the clusters of the patches of a photo's first view."""
        return self.labels[photo, : self.grid**2].view(self.grid, self.grid).cpu().numpy()


def objects_of(encoder: Encoder, records: Sequence[Record], model: dict, group: int) -> Objects:
    """Compute what a training step with the settings `model` makes of the photos, without learning from them. Each `group`
    photos share the scaling of the clustering's cost; the number of photos is a multiple of `group`.
    """
    grid, K, masks = model["views"]["size"] // encoder.patch_size, model["clustering"]["K"], needs_masks(model)
    how = clustering_settings(model["clustering"])
    if isinstance(how, ClusteringSettings):
        how = replace(how, normalise_images=group)
    pairs = ViewPairs(records, model["views"], grid, seeds_an_image(model), model["seed"], masks)
    epoch = model["optimisation"]["epochs"]  # no training step has used this epoch's random draws
    step = group * max(1, AT_ONCE // group)
    views, labels, objects, classes = [], [], [], []
    for start in range(0, len(records), step):
        items = [pairs[epoch, i] for i in range(start, min(start + step, len(records)))]
        batch = Batch(*(torch.stack(parts) for parts in zip(*items, strict=True)))
        patches = torch.cat([encoder(part.flatten(0, 1))[1] for part in batch.views.split(AT_ONCE)])
        patches = patches.flatten(1, 2).unflatten(0, (-1, 2)).flatten(1, 2)
        own = _cluster(patches, batch, how, grid)
        views.append(batch.views)
        labels.append(own)
        objects.append(pool_objects(patches, own, K))
        if masks:
            classes.append(object_classes(own, batch.classes.to(own.device), K))
    clusters = torch.cat(labels)
    known = torch.cat(classes) if masks else None
    return Objects(torch.cat(views), clusters, torch.cat(objects, dim=1), seen_in_both(clusters, K), known, grid)


def _cluster(
    patches: Float[Tensor, "B n d"], batch: Batch, how: ClusteringSettings | KMeansSettings | LabelSettings, grid: int
) -> Int[Tensor, "B n"]:
    device = patches.device
    match how:
        case ClusteringSettings():
            positions = patch_positions(batch.boxes.to(device), grid)
            return joint_space_clustering(patches, positions, batch.seeds.to(device), how)
        case KMeansSettings():
            return kmeans(patches, batch.seeds.to(device), how)
        case LabelSettings():
            return label_clusters(batch.classes.to(device), how.K)
