"""The part of params.yaml that says how models are evaluated: one group per protocol, in the order of dvc.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator, field_validator

from cribo.params.types import Count, Group, Name, NonNegative, Positive, Seed, Share, Span, ascending, merged


def _as_written(given: object, checked: ValidatorFunctionWrapHandler) -> object:
    checked(given)
    return given


# An integer stays an integer: DVC names files by the text in params.yaml, where `1` and `1.0` differ (report's planned.py).
Rates = Annotated[tuple[Annotated[Positive, WrapValidator(_as_written)], ...], Field(min_length=1)]


class DenseNN(Group):
    datasets: tuple[Name, ...]
    k: Count
    temperature: Positive | None
    subsample: Annotated[tuple[Count, ...], Field(min_length=1)]
    runs: Count
    seed: Seed


class Hummingbird(Span):
    models: tuple[Name, ...]
    datasets: tuple[Name, ...]
    size: Count
    k: Count
    temperature: Positive
    passes: Count
    crop_area: tuple[Positive, Positive]
    jitter: Annotated[float, Field(ge=0, le=0.5)]
    jitter_probability: Share
    patches_per_image: Count | None
    void_is_class_0: bool
    match_classes: bool
    seed: Seed


class KNN(Group):
    models: tuple[Name, ...]
    datasets: tuple[Name, ...]
    k: Annotated[tuple[Count, ...], Field(min_length=1)]
    temperature: Positive
    short_side: Count
    crop: Count


class Yolos(Span):
    models: tuple[Name, ...]
    datasets: tuple[Name, ...]
    epochs: Count
    batch_size: Count
    lr: Positive
    min_lr: NonNegative
    weight_decay: NonNegative
    clip_norm: NonNegative
    tokens: Count
    grid: tuple[Count, Count]
    short: tuple[Count, Count, Count]
    longest: Count
    crop_from: Annotated[tuple[Count, ...], Field(min_length=1)]
    crop: tuple[Count, Count]
    test: Count
    seed: Seed


class Decoding(Group):
    """How a decoder is trained and tested; a data set may overlay any of these values."""

    drop_path: Annotated[float, Field(ge=0, lt=1)]
    statistics: Literal["encoder", "half"]
    iterations: Count
    batch_size: Count
    weight_decay: NonNegative
    end_lr: tuple[NonNegative, NonNegative]
    crop: Annotated[int, Field(ge=16)]
    max_class_share: Annotated[float, Field(gt=0, le=1)]
    scale: tuple[Count, Count]
    ratio: tuple[Positive, Positive]
    window: Annotated[int, Field(ge=16)]
    stride: Count
    seed: Seed

    @field_validator("ratio")
    @classmethod
    def _low_then_high(cls, pair: tuple[float, float]) -> tuple[float, float]:
        return ascending(pair)


class LinearDecoding(Decoding):
    layer_norm: Literal["last", "each"]


class SegmenterDecoding(Decoding):
    decoder_layers: Count
    decoder_drop_path: Annotated[float, Field(ge=0, lt=1)]


class LinearSegmentation(LinearDecoding):
    models: tuple[Name, ...]
    datasets: dict[Name, dict]
    layers: Annotated[tuple[Count, ...], Field(min_length=1)]
    learning_rates: Rates

    def on(self, dataset: str) -> LinearDecoding:
        """The settings with the data set's overlay applied. Raises pydantic's ValidationError."""
        return _overlaid(LinearDecoding, self, self.datasets[dataset])


class Segmenter(SegmenterDecoding):
    models: tuple[Name, ...]
    datasets: dict[Name, dict]
    learning_rates: Rates

    def on(self, dataset: str) -> SegmenterDecoding:
        """The settings with the data set's overlay applied. Raises pydantic's ValidationError."""
        return _overlaid(SegmenterDecoding, self, self.datasets[dataset])


def _overlaid(kind: type[Decoding], base: Decoding, overlay: dict) -> Decoding:
    return kind.model_validate(merged(base.model_dump(include=set(kind.model_fields)), overlay), strict=True)


class Evaluate(Group):
    """The protocols, in the order of their tables. Dense retrieval judges every model; the others those that they name."""

    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    dense_nn: DenseNN
    hummingbird: Hummingbird
    linear_segmentation: LinearSegmentation
    segmenter: Segmenter
    knn: KNN
    yolos: Yolos

    def judged(self, protocol: str) -> tuple[str, ...]:
        """The models that a protocol judges."""
        return self.models if protocol == "dense_nn" else getattr(self, protocol).models


PROTOCOLS = tuple(name for name in Evaluate.model_fields if name != "models")
# Kinds of data that these protocols can evaluate on; the others need a mask for each image.
KINDS = {"knn": ("scenes", "imagenet"), "yolos": ("scenes", "coco")}
