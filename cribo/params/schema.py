"""The whole of params.yaml: the groups of the other files, and each model with its overlay applied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cribo.fidelity import resolved
from cribo.model.foreign.formats import FORMATS
from cribo.params.data import Data
from cribo.params.evaluate import Evaluate
from cribo.params.pretrain import Pretrain
from cribo.params.types import Count, Group, Line, Name, NonNegative, Positive, Seed, Share, Whole, merged


class Imported(Group):
    """Weights from elsewhere; checks/weights.py says which keys go with which `weights`; docs/encoders.md explains them."""

    weights: Annotated[str, Field(min_length=1)]
    backbone: str | None = None
    image_size: Annotated[int, Field(ge=14)] | None = None
    seed: Seed | None = None
    format: Literal[tuple(FORMATS)] | None = None
    stride: Literal[8, 16, 32] | None = None
    mean: tuple[Share, Share, Share] | None = None
    std: tuple[Positive, Positive, Positive] | None = None
    row: Line | None = None


class Trained(Pretrain):
    """One pretrained model: its data set, and `pretrain` with the model's overlay applied."""

    dataset: Name
    row: Line | None = None
    method: Literal["CrIBo", "DINO", "MAE"] = "CrIBo"


class Models(Group):
    trained: dict[Name, dict]
    imported: dict[Name, Imported]


class Examples(Group):
    models: tuple[Name, ...]
    datasets: tuple[Name, ...]
    photos: Count
    bank: Count


class Report(Group):
    title: Line
    reference: Name
    tables: tuple[Annotated[int, Field(ge=1, le=12)], ...]
    tolerance: NonNegative
    examples: Examples


class Compute(Group):
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    tf32: bool
    compile: bool
    recompute: bool
    micro_batch: Whole
    shard_bank: bool
    workers: Whole
    threads: Whole
    feature_memory_gb: NonNegative
    checkpoint_steps: Count
    keep_states: Annotated[int, Field(ge=2)]  # at least 2, as one may be damaged
    save_in_background: bool
    log_steps: Count


class Params(Group):
    """Everything in params.yaml. `trained` holds each pretrained model with its overlay applied and checked."""

    data: dict[Name, Data]
    pretrain: Pretrain
    models: Models
    evaluate: Evaluate
    report: Report
    compute: Compute

    @property
    def trained(self) -> dict[str, Trained]:
        return {name: self.model(name) for name in self.models.trained}

    def model(self, name: str) -> Trained:
        """A trained model with its overlay applied and each `fidelity` replaced. Raises pydantic's ValidationError."""
        given = self.unresolved(name).model_dump(mode="json")
        return Trained.model_validate(as_tuples(resolved(given)), strict=True)

    def unresolved(self, name: str) -> Trained:
        """Like `model`, but with each `fidelity` left as in the file. Raises pydantic's ValidationError."""
        base = self.pretrain.model_dump(mode="json")
        return Trained.model_validate(as_tuples(merged(base, self.models.trained[name])), strict=True)


def as_tuples(tree: object) -> object:
    """Turn YAML's lists into tuples: parameters are immutable, and strict validation accepts only the exact type."""
    if isinstance(tree, dict):
        return {key: as_tuples(value) for key, value in tree.items()}
    return tuple(as_tuples(item) for item in tree) if isinstance(tree, list) else tree
