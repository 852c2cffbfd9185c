"""The part of params.yaml that says how a model is pretrained: one group per part of the method."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from cribo.fidelity import WORD, Fidelity
from cribo.model.architectures import BACKBONES
from cribo.params.types import Count, Group, NonNegative, Positive, Seed, Share, Span, Whole

Backbone = Literal[tuple(BACKBONES)]
Loss = Literal["global", "cross_view", "cross_image", "pixels"]


def _or_fidelity(kind: object) -> object:
    """The type for a value of this kind or the word `fidelity`, with which `pretrain.fidelity` decides the value."""
    word, value = Annotated[Literal["fidelity"], Tag("word")], Annotated[kind, Tag("value")]
    return Annotated[word | value, Discriminator(lambda given: "word" if given == WORD else "value")]


class LocalCrops(Span):
    count: Whole
    size: Annotated[int, Field(ge=8)]
    crop_area: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
    blur: Share


class Views(Span):
    size: Annotated[int, Field(ge=16)]
    crop_area: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
    crop_aspect: tuple[Positive, Positive]
    flip: Share
    jitter: Share
    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    grayscale: Share
    blur: tuple[Share, Share]
    blur_radius: tuple[NonNegative, NonNegative]
    solarise: tuple[Share, Share]
    local: LocalCrops


class Head(Group):
    hidden: Count
    bottleneck: Count
    prototypes: Annotated[int, Field(ge=2)]
    norm_last_layer: bool
    freeze_epochs: Whole


class Clustering(Group):
    algorithm: Literal["sinkhorn", "kmeans", "labels"]
    K: Annotated[int, Field(ge=2)]
    lambda_pos: NonNegative
    # Sinkhorn scales a column that is exp(-sharpness) throughout by up to K · exp(sharpness); fp32 overflows at exp(88).
    sharpness: Annotated[float, Field(gt=0, le=80)]
    outer_iterations: Count
    sinkhorn_iterations: Count
    marginals: _or_fidelity(Literal["histogram", "uniform"])
    exclude_self: _or_fidelity(bool)
    centroids: _or_fidelity(Literal["unit", "raw"])
    normalise_images: _or_fidelity(Count)


class MemoryBank(Group):
    images: Count
    exclude_same_image: bool


class Matching(Group):
    criterion: Literal["cycle", "none", "labels"]
    pool_images: _or_fidelity(Count)
    first_epoch: _or_fidelity(Whole)


class Targets(Group):
    student_temperature: Positive
    teacher_temperature: tuple[Positive, Positive]
    warmup_epochs: Whole
    centre_momentum: Share
    directions: _or_fidelity(Literal["mean", "sum"])
    mean_images: _or_fidelity(Count)


class Decoder(Group):
    width: Annotated[int, Field(ge=4, multiple_of=4)]
    depth: Count
    heads: Count


class MAE(Group):
    mask: Annotated[float, Field(gt=0, lt=1)]
    normalise: bool
    decoder: Decoder


class Optimisation(Group):
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    base_lr: Positive
    min_lr: NonNegative
    warmup_epochs: Whole
    weight_decay: tuple[NonNegative, NonNegative]
    clip_norm: NonNegative
    beta2: Annotated[float, Field(ge=0, lt=1)]
    ema: tuple[Share, Share]


class Pretrain(Group):
    """What all models share. Parameters set to `fidelity` get their value per model, in `Params.model`."""

    fidelity: Fidelity
    seed: Seed
    backbone: Backbone
    drop_path: Annotated[float, Field(ge=0, lt=1)]
    losses: Annotated[tuple[Loss, ...], Field(min_length=1)]
    views: Views
    head: Head
    clustering: Clustering
    memory_bank: MemoryBank
    matching: Matching
    targets: Targets
    mae: MAE
    optimisation: Optimisation


def is_mae(p: Pretrain) -> bool:
    """Whether this model is a masked autoencoder: no teacher, no head, no objects."""
    return "pixels" in p.losses


def needs_objects(p: Pretrain) -> bool:
    """Whether any loss of this model uses objects, and hence clusters."""
    return bool({"cross_view", "cross_image"} & set(p.losses))


def needs_bank(p: Pretrain) -> bool:
    """Whether this model's losses use the memory bank."""
    return "cross_image" in p.losses


def needs_masks(p: Pretrain) -> bool:
    """Whether an oracle of this model reads the masks of its data set (Table 11)."""
    return needs_objects(p) and (p.clustering.algorithm == "labels" or (needs_bank(p) and p.matching.criterion == "labels"))
