"""Weights from elsewhere: keys that are missing, or that mean nothing for weights of this kind."""

from __future__ import annotations

from collections.abc import Iterator

from cribo.command import did_you_mean
from cribo.model.architectures import BACKBONES
from cribo.model.foreign.catalogue import CATALOGUE
from cribo.params.errors import Key, Problem
from cribo.params.schema import Imported, Params

# Suffixes of weight files; a name without such a suffix and without a slash is from the catalogue or from timm's hub.
FILES = (".pth", ".pt", ".ckpt", ".tar", ".bin", ".safetensors", ".msgpack")
KEYS = ("backbone", "image_size", "seed", "format", "stride", "mean", "std")  # what a line may say of its weights
TIMM = "a name of timm"


def problems(params: Params) -> Iterator[Problem]:
    """Problems of each entry of models.imported."""
    for name, spec in params.models.imported.items():
        yield from problems_in(spec, ("models", "imported", name))


def problems_in(spec: Imported, at: Key) -> Iterator[Problem]:
    """Problems of the entry at the key `at`: a superfluous key is reported at that key, a missing one at the entry."""
    kind, needed, also = _kind(spec)
    given = [key for key in KEYS if getattr(spec, key) is not None]
    surplus = [key for key in given if key not in needed + also]
    if surplus and kind == TIMM and (meant := did_you_mean(spec.weights, ("random", *CATALOGUE))):
        wrong = f"{spec.weights!r} is not in the catalogue, and a name of timm goes without {surplus[0]}{meant}"
        yield Problem((*at, "weights"), wrong)
        return
    for key in KEYS:
        if key in surplus:
            yield Problem((*at, key), f"says nothing where weights are {kind}: leave it out")
        elif key in needed and key not in given:
            yield Problem(at, f"needs {key}, as weights are {kind}")
    if spec.weights == "random" and spec.backbone is not None and spec.backbone not in BACKBONES:
        yield Problem((*at, "backbone"), f"{spec.backbone!r} is not allowed", list(BACKBONES), spec.backbone)
    patch = BACKBONES[spec.backbone].patch_size if spec.backbone in BACKBONES else 1
    if spec.weights == "random" and spec.image_size is not None and spec.image_size % patch:
        wrong = f"{spec.image_size} px is not a multiple of {spec.backbone}'s {patch} px patch"
        yield Problem((*at, "image_size"), wrong)


def _kind(spec: Imported) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """What `weights` stands for, the keys that it needs, and those that it may have."""
    if spec.weights == "random":
        return "random", ("backbone", "image_size", "seed"), ()
    if spec.weights in CATALOGUE:
        return "in the catalogue", (), ("stride",)
    if spec.format is not None or spec.weights.endswith(FILES):
        return "a file", ("backbone", "format"), ("image_size", "stride", "mean", "std")
    if "/" in spec.weights:
        return "a folder", (), ()
    return TIMM, (), ("stride",)
