"""python -m cribo.replay FOLDER: repeat a training that stopped at a non-finite loss, and name the first non-finite value.

FOLDER is the one that the training named, `.resume/MODEL-HASH/nonfinite-STEP`. One process is enough, however many the
training had.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from cribo.command import run
from cribo.data.batches.loader import Batch
from cribo.data.prepared.readers import Record, open_set
from cribo.model.foreign.read import read
from cribo.params import Compute
from cribo.params.errors import problems_of
from cribo.training.course import Course
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.log import say
from cribo.training.loop import step_batches
from cribo.training.state import initial_state
from cribo.training.update import advance

READ = ("dataset", "seed", "backbone", "losses", "views", "optimisation")  # settings that every model has


def main(folder: str) -> None:
    bundle = Path(folder)
    first = replay(bundle, open_set(read_about(bundle)["settings"]["dataset"]).splits["train"])
    if first is None:
        sys.exit("every value was finite this time: the fault lies in the machine, or in sums whose order is not fixed")
    say(f"first: {first}")


def read_about(bundle: Path) -> dict:
    """What about.json keeps of a training beside its state and batch, with `compute` as checked values.

    Raises ValueError if about.json is missing, damaged or incomplete.
    """
    path = bundle / "about.json"
    if not path.exists():
        raise ValueError(f"{bundle} holds no about.json: give the folder that the training named")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        settings, numbers = about["settings"], (about["step"], about["processes"])
        if lacking := [group for group in READ if group not in settings]:
            raise ValueError(f"settings lack {lacking[0]}")
        if not isinstance(settings["backbone"], dict):
            raise ValueError("settings.backbone is a name only")
        if not all(isinstance(number, int) and number > 0 for number in numbers):
            raise ValueError("step and processes should be 1 or more")
        return {**about, "compute": Compute.model_validate(about["compute"], strict=False)}
    except ValidationError as error:
        first = problems_of(error, Compute, ("compute",))[0]
        wrong = f"{'.'.join(map(str, first.key))} {first.wrong}"
    except (ValueError, KeyError, TypeError) as error:
        wrong = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
    raise ValueError(f"{path} is damaged, or of another version ({wrong}): let the training stop once more")


def replay(bundle: Path, records: Sequence[Record]) -> str | None:
    """Repeat the steps of a bundle in one process, from its state to the fault; return the first non-finite value in
    words, or None if there is none.

    Raises ValueError if the bundle is incomplete, or the photos no longer give the batch that it holds.
    """
    about = read_about(bundle)
    settings, compute = about["settings"], about["compute"]
    compute = compute.model_copy(update={"compile": False, "recompute": False, "shard_bank": False})  # hooks see more
    device = torch.device("cuda" if compute.device != "cpu" and torch.cuda.is_available() else "cpu")
    world = World(0, 1, device)
    share = settings["optimisation"]["batch_size"] // about["processes"]
    compute = compute.model_copy(update={"micro_batch": min(compute.micro_batch or share, share)})
    state = initial_state(settings, device, compute.precision == "bf16")
    if (saved := checkpoint.load_newest(bundle, say)) is not None:
        state.restore(saved)
    say(f"from step {state.step} to step {about['step']} on {device}")
    course = Course.of(settings, len(records), compute)
    with listening({"student": state.student, "teacher": state.teacher}) as heard:
        for batch in step_batches(settings, records, state.step, about["step"], world, 0):
            if state.step + 1 == about["step"]:
                _compare(batch, bundle, about["processes"])
            values = advance(state, state.student, batch, course, world)
            say(f"step {state.step}  " + "  ".join(f"{name} {float(value):.4g}" for name, value in values.items()))
            wrong = [name for name, value in values.items() if not torch.isfinite(value)]
            if heard or wrong:
                return f"step {state.step}: {heard[0] if heard else wrong[0]} is not finite"
    return None


def _compare(batch: Batch, bundle: Path, processes: int) -> None:
    kept = [_kept(bundle / f"batch-{rank}.pt", batch) for rank in range(processes)]
    for name, value in batch._asdict().items():
        if not torch.equal(value, torch.cat([part[name] for part in kept])):
            raise ValueError(f"the photos give other {name} than those kept in {bundle}: they have changed since")


def _kept(path: Path, batch: Batch) -> dict[str, Tensor]:
    """One process's share of the batch at fault. Raises ValueError if it is missing, damaged or lacks a field."""
    kept = read(path)
    if lacking := [name for name in batch._fields if not isinstance(kept.get(name), Tensor)]:
        raise ValueError(f"{path} lacks {lacking[0]} of the batch: let the training stop once more")
    return kept


@contextmanager
def listening(networks: dict[str, nn.Module]) -> Iterator[list[str]]:
    """Record every non-finite value, in the order in which they arise: outputs of layers, then gradients."""
    heard: list[str] = []
    handles = []

    def note(value: object, what: str) -> None:
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all():
            heard.append(f"{what} (shape {list(value.shape)}, {int((~value.isfinite()).sum())} of {value.numel()} values)")

    for role, network in networks.items():
        for name, module in network.named_modules():
            if not list(module.children()):
                what = f"the output of {role}.{name}"
                handles.append(module.register_forward_hook(lambda _m, _i, out, what=what: note(out, what)))
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                what = f"the gradient of {role}.{name}"
                handles.append(parameter.register_hook(lambda grad, what=what: note(grad, what)))
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


if __name__ == "__main__":
    run(main, "python -m cribo.replay FOLDER", 1)
