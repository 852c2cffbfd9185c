"""The course of a training: the part of the model's settings that every step reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cribo.data.batches.loader import ViewPairs
from cribo.data.prepared.readers import Record
from cribo.method.clustering import ClusteringSettings
from cribo.method.kmeans import KMeansSettings
from cribo.method.oracle import LabelSettings
from cribo.method.step import StepSettings
from cribo.params import Compute
from cribo.training.schedules import Schedule


@dataclass(frozen=True)
class Course:
    """What stays the same from step to step."""

    schedule: Schedule
    method: StepSettings | None  # None: MAE
    micro_batch: int  # images of a process that pass through the networks at once; 0 means all
    tf32: bool
    fused: bool = False  # generated kernels on a GPU (compute.compile)

    @classmethod
    def of(cls, settings: dict, images: int, compute: Compute) -> Course:
        """The course of a model with this number of training images."""
        method = None if "mae" in settings else replace(step_settings(settings), fused=compute.compile)
        return cls(Schedule(settings, images), method, compute.micro_batch, compute.tf32, compute.compile)


def step_settings(settings: dict) -> StepSettings:
    """The part of a model's settings that a step reads."""
    matching, targets = settings.get("matching", {}), settings["targets"]
    return StepSettings(
        losses=frozenset(settings["losses"]),
        clustering=clustering_settings(settings["clustering"]) if "clustering" in settings else None,
        criterion=matching.get("criterion", "none"),
        pool_images=matching.get("pool_images", 1),
        student_temperature=targets["student_temperature"],
        centre_momentum=targets["centre_momentum"],
        exclude_same_image=settings.get("memory_bank", {}).get("exclude_same_image", False),
        directions=targets["directions"],
        mean_images=targets.get("mean_images", 1),
        local_crops=settings["views"].get("local", {}).get("count", 0),
    )


def clustering_settings(settings: dict) -> ClusteringSettings | KMeansSettings | LabelSettings:
    """The settings of the chosen clustering algorithm."""
    kinds = {"sinkhorn": ClusteringSettings, "kmeans": KMeansSettings, "labels": LabelSettings}
    return kinds[settings["algorithm"]](**{key: value for key, value in settings.items() if key != "algorithm"})


def needs_masks(settings: dict) -> bool:
    """Whether an oracle reads the masks of the training images (Table 11)."""
    groups = settings.get("clustering", {}), settings.get("matching", {})
    return groups[0].get("algorithm") == "labels" or groups[1].get("criterion") == "labels"


def seeds_an_image(settings: dict) -> int:
    """Number of tokens per image that serve as the first centroids."""
    clustering = settings.get("clustering", {"algorithm": "labels"})
    return 0 if clustering["algorithm"] == "labels" else clustering["K"]


def views_an_image(settings: dict) -> int:
    """Number of views per image: one for MAE, two for all other models."""
    return 1 if "mae" in settings else 2


def grid_of(settings: dict) -> int:
    """Number of patches along a side of a view."""
    return settings["views"]["size"] // settings["backbone"]["patch_size"]


def view_pairs(settings: dict, records: Sequence[Record]) -> ViewPairs:
    """The views that this model's training draws from the photos."""
    views, grid, seeds = settings["views"], grid_of(settings), seeds_an_image(settings)
    return ViewPairs(records, views, grid, seeds, settings["seed"], needs_masks(settings), views_an_image(settings))
