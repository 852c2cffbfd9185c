"""The bundle that is kept of a training that went wrong, so that `cribo.replay` can repeat the failure.

As every step is a function of the state before it and of (seed, step), the newest good state and the settings are enough.
The failing batch is kept as well, because the photos may have moved when someone looks into it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from cribo.params import Compute
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.finite import NonFinite


@contextmanager
def kept(folder: Path, settings: dict, compute: Compute, world: World, saver: checkpoint.Saver) -> Iterator[None]:
    """If a loss inside is not finite, write a bundle and raise a FloatingPointError that says how to repeat the failure."""
    try:
        yield
    except NonFinite as fault:
        saver.wait()
        bundle = write(folder, fault, settings, compute, world)
        raise FloatingPointError(
            f"{fault}: `python -m cribo.replay {bundle}` does it again and names the first value that is not finite; "
            "a lower optimisation.base_lr or a longer warm-up often helps"
        ) from None


def _link(state: Path, kept: Path) -> None:
    """Hard-link the state, which takes no room and outlives the state's deletion; copy it if the disk has no links."""
    try:
        os.link(state, kept)
    except OSError:
        shutil.copyfile(state, kept)


def write(folder: Path, fault: NonFinite, settings: dict, compute: Compute, world: World) -> Path:
    """Write the bundle of a fault into the run directory and return its folder. All processes must take part."""
    bundle = folder / f"nonfinite-{fault.step:08d}"
    bundle.mkdir(exist_ok=True)
    torch.save(fault.batch._asdict(), bundle / f"batch-{world.rank}.pt")
    if world.main:
        about = {
            "step": fault.step,
            "values": {name: str(value) for name, value in fault.values.items()},  # JSON knows no NaN
            "processes": world.size,
            "settings": settings,
            "compute": compute.model_dump(mode="json"),
        }
        (bundle / "about.json").write_text(json.dumps(about, indent=2) + "\n")
        if (state := checkpoint.newest(folder)) is not None and not (bundle / state.name).exists():
            _link(state, bundle / state.name)
    world.barrier()
    return bundle
