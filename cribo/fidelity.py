"""Where the paper and its released code differ: what each says, and what we do by default.

`pretrain.fidelity` chooses one of the three for every parameter set to `fidelity`; any other value of a parameter overrides
it. `resolved` fills in the values, so that what a stage reads (results/plan/) holds values only; `in_force` lists those
values that depart from the paper or from the released code. docs/method.md gives the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Fidelity = Literal["paper", "released", "ours"]
WORD = "fidelity"  # a parameter with this value follows `pretrain.fidelity`
Value = str | bool | int
# The released ViT-B ran on 16 GPUs, the other models on 8 (batch size divided by images per GPU in their argument files).
RELEASED_GPUS = {"vit_base_16": 16}


@dataclass(frozen=True)
class Choice:
    """One discrepancy, decided by a parameter of `pretrain`: per preset its value, or a function of the settings."""

    number: str  # D1 … D18, as in docs/method.md
    key: str
    paper: Value | Callable[[Mapping], Value]
    released: Value | Callable[[Mapping], Value]
    ours: Value | Callable[[Mapping], Value]

    def value(self, fidelity: Fidelity, settings: Mapping) -> Value:
        """The value of the key under a preset, for a model with these settings."""
        value = getattr(self, fidelity)
        return value(settings) if callable(value) else value


@dataclass(frozen=True)
class Departure:
    """A value in force that is not the paper's, or not the released code's."""

    number: str
    key: str
    value: Value
    paper: Value
    released: Value

    def __str__(self) -> str:
        others = {"paper": self.paper, "released code": self.released}
        said = ", ".join(f"{who} {_shown(said)}" for who, said in others.items() if said != self.value)
        return f"{self.number} {self.key}: {_shown(self.value)} ({said})"


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def whole_batch(settings: Mapping) -> int:
    """The number of images in a step."""
    batch = settings["optimisation"]["batch_size"]
    return batch if isinstance(batch, int) and batch > 0 else 1  # any other value is refused at its own key


def one_gpu(settings: Mapping) -> int:
    """The number of images per GPU in the released runs: 32 on COCO; on ImageNet 128 for ViT-S and 64 for ViT-B."""
    batch = whole_batch(settings)
    return _divisor(batch, batch // RELEASED_GPUS.get(settings["backbone"], 8))


def one_gpu_or_32(settings: Mapping) -> int:
    """Like `one_gpu`, but at least 32 images if the batch has that many: a handful is too few to share anything."""
    return _divisor(whole_batch(settings), max(one_gpu(settings), 32))


def _divisor(batch: int, most: int) -> int:
    """The largest group that a batch can be split into without exceeding `most` images."""
    return next(size for size in range(min(batch, max(most, 1)), 0, -1) if batch % size == 0)


CHOICES = (
    Choice("D1", "clustering.marginals", "uniform", "histogram", "histogram"),
    Choice("D2", "clustering.exclude_self", False, True, True),
    Choice("D3", "clustering.normalise_images", 1, one_gpu, one_gpu_or_32),
    Choice("D5", "clustering.centroids", "raw", "unit", "unit"),
    Choice("D6", "targets.directions", "sum", "mean", "mean"),
    Choice("D7", "targets.mean_images", 1, one_gpu, whole_batch),
    Choice("D9", "matching.first_epoch", 0, 1, 1),
    Choice("D10", "matching.pool_images", whole_batch, one_gpu, one_gpu_or_32),
)


def resolved(settings: Mapping) -> dict:
    """The settings of a model (`pretrain` with its overlay) with each `fidelity` replaced by the preset's value."""
    tree = {key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()}
    for choice in CHOICES:
        group, key = choice.key.split(".")
        if tree[group][key] == WORD:
            tree[group][key] = choice.value(settings["fidelity"], settings)
    return tree


def overridden(settings: Mapping, read: Mapping) -> list[str]:
    """One sentence for each key of unresolved settings whose own value differs from the preset's.

    `read` is what the model reads of its settings (results/plan/pretrain/MODEL.yaml); other keys have no effect.
    """
    fidelity = settings["fidelity"]
    choices = [choice for choice in CHOICES if _at(read, choice.key) is not None]
    said = ((c, _at(settings, c.key), c.value(fidelity, settings)) for c in choices)
    return [
        f"{choice.key} is {_shown(own)} and overrides fidelity {fidelity}, which says {_shown(preset)}"
        for choice, own, preset in said
        if own not in (WORD, preset)
    ]


def in_force(settings: Mapping) -> list[Departure]:
    """Departures from paper or released code in resolved settings (results/plan/pretrain/MODEL.yaml), D1 first.

    Parameters that the model does not read are not in its settings, and so do not count as departures.
    """
    settings = {**settings, "backbone": settings["backbone"]["name"]}  # as in params.yaml
    found = []
    for c in CHOICES:
        value = _at(settings, c.key)
        paper, released = (c.value(which, settings) for which in ("paper", "released"))
        if value is not None and (value != paper or value != released):
            found.append(Departure(c.number, c.key, value, paper, released))
    return found


def _at(settings: Mapping, key: str) -> Value | None:
    group, name = key.split(".")
    return settings.get(group, {}).get(name)
