"""The schema of the two protocols that train a decoder: linear segmentation and Segmenter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from cribo.params_group import Count, Group, Name, NonNegative, Positive, Whole, ascending, merged


class Decoding(Group):
    """Training and testing of a decoder: what a data set may overlay."""

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
    seed: Whole

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
    datasets: dict[Name, dict]
    layers: Annotated[tuple[Count, ...], Field(min_length=1)]
    learning_rates: Annotated[tuple[Positive, ...], Field(min_length=1)]

    def on(self, dataset: str) -> LinearDecoding:
        """With the data set's overlay applied. Raises pydantic's ValidationError."""
        return _overlaid(LinearDecoding, self, self.datasets[dataset])


class Segmenter(SegmenterDecoding):
    datasets: dict[Name, dict]
    learning_rates: Annotated[tuple[Positive, ...], Field(min_length=1)]

    def on(self, dataset: str) -> SegmenterDecoding:
        """With the data set's overlay applied. Raises pydantic's ValidationError."""
        return _overlaid(SegmenterDecoding, self, self.datasets[dataset])


def _overlaid(kind: type[Decoding], base: Decoding, overlay: dict) -> Decoding:
    return kind.model_validate(merged(base.model_dump(include=set(kind.model_fields)), overlay), strict=True)
