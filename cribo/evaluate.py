"""Judge any weights by one of the paper's protocols on photos in any folder, without the workflow.

    python -m cribo.evaluate --weights results/encoders/cribo --protocol dense_nn --dataset voc2012=/data/VOCdevkit
    python -m cribo.evaluate --weights vit_small_patch16_224.dino --protocol knn --dataset imagenet=/data/imagenet
    python -m cribo.evaluate --weights mine.pth --set weights.format=teacher weights.backbone=vit_small_16 ...    a file
    python -m cribo.evaluate ... --dataset mine=/my/photos --set data.kind=folder data.train=train data.val=val
                                 data.masks=labels 'data.classes=[cat, dog]'      any folder of photos, with masks
    torchrun --nproc-per-node 4 -m cribo.evaluate ...          shares the work between four GPUs

Settings are the paper's where it states them (docs/protocols.md); `--set k=20` changes one. The result goes to stdout as the
JSON of docs/protocols.md, or to a file with --out; progress goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cribo.command import check_out, explained
from cribo.evaluation.harness.compute import join
from cribo.evaluation.harness.result import Meter, write_json
from cribo.evaluation.harness.stage import nothing_kept
from cribo.evaluation.protocols import PROTOCOLS, Protocol
from cribo.model.foreign.formats import FORMATS
from cribo.model.weights import RANDOM, encoder_of
from cribo.params import Compute, Imported, as_tuples
from cribo.params.checks.names import twice_in
from cribo.params.checks.weights import problems_in
from cribo.params.errors import ParamsError, Problem, problems_of
from cribo.plan import import_settings
from cribo.training.engine.distributed import World
from cribo.training.engine.interruption import ANEW, GOES_ON, finish, ignore_signals, resumable_command

NAME = r"[A-Za-z0-9][A-Za-z0-9_.]*"  # as for data sets in params.yaml


def main(arguments: list[str]) -> None:
    given = parser().parse_args(arguments)
    protocol = PROTOCOLS[given.protocol]
    with resumable_command(ANEW if protocol.kept is nothing_kept else GOES_ON):
        judge(protocol, given)


def judge(protocol: Protocol, given: argparse.Namespace) -> None:
    """Judge what the command line names, and write the result."""
    name, separator, path = given.dataset.partition("=")
    if not separator or not name or not path:
        raise ValueError(f"--dataset {given.dataset}: write NAME=PATH, as voc2012=/where/it/is")
    if not re.fullmatch(NAME, name):
        raise ValueError(f"--dataset {given.dataset}: {name!r} is not a name: letters, digits, _ and . only, before the =")
    changes = assignments(given.set)
    about_data, about_weights = taken(changes, "data."), taken(changes, "weights.")
    spec, weights = settings(protocol, changes), described(given.weights, about_weights)
    compute = computing(given)
    if given.out and os.environ.get("RANK", "0") == "0":  # only in the process that writes
        check_out(given.out, "--out")
    with join(compute.device, compute.threads) as world, scratch_of_host(world) as (scratch, first):
        meter = Meter(world.device, compute.precision)
        encoder = encoder_of(given.weights, world.device, compute.precision, weights)
        for turn in (True, False):  # the first process of a machine verifies the photos for all
            if turn == first:
                data = protocol.open(name, Path(path), about_data, scratch)
            world.barrier()
        tree = protocol.judge(encoder, data, spec, compute, world, meter)
        folder = None
        if world.main:
            deliver(tree, given.out)
            print(f"{encoder.name} on {name}: {tree['value']:.2f} %, {tree['protocol']['value']}", file=sys.stderr)
            folder = protocol.kept(encoder, data, spec)
        ignore_signals()
        world.barrier()
    finish(folder)


@contextmanager
def scratch_of_host(world: World) -> Iterator[tuple[Path, bool]]:
    """A temporary folder that the processes of a machine share, and whether this is the first of them, which owns it."""
    here = socket.gethostname()
    leader = world.gather_objects(here).index(here)
    with tempfile.TemporaryDirectory() if leader == world.rank else nullcontext() as made:
        yield Path(world.gather_objects(made)[leader]), leader == world.rank


def computing(given: argparse.Namespace) -> Compute:
    """How to compute, checked like `compute` in params.yaml. Raises ValueError that names the wrong option."""
    try:
        return Compute(
            device=given.device,
            precision=given.precision,
            tf32=False,
            compile=False,
            recompute=False,
            micro_batch=0,
            shard_bank=False,
            workers=given.workers,
            threads=given.threads,
            feature_memory_gb=given.feature_memory_gb,
            checkpoint_steps=200,
            keep_states=2,
            save_in_background=False,
            log_steps=10,
        )
    except ValidationError as error:
        first = problems_of(error, Compute, ())[0]
        raise ValueError(f"--{'.'.join(map(str, first.key)).replace('_', '-')} {first.wrong}") from None


def deliver(tree: dict, out: Path | None) -> None:
    """Write the result to `out`, or to stdout. If the file cannot be written, use stdout and raise ValueError."""
    try:
        if out:
            return write_json(out, tree)
    except OSError as error:
        _print(tree)
        raise ValueError(f"--out {out} cannot be written ({error.strerror}): the result went to stdout instead") from None
    _print(tree)


def _print(tree: dict) -> None:
    print(json.dumps(tree, indent=2, ensure_ascii=False), flush=True)


def settings(protocol: Protocol, changes: dict[str, Any]) -> dict:
    """The protocol's settings with `changes`, checked like params.yaml. Raises ParamsError."""
    cells = protocol.schema.model_fields.keys() & {"models", "datasets"}  # the command line has other options for them
    own = sorted(protocol.schema.model_fields.keys() - cells)
    if unknown := [Problem((key,), "is not a parameter", own, key) for key in changes if key not in own]:
        raise ParamsError(unknown, Path("--set"), {})
    try:
        given = as_tuples({**dict.fromkeys(cells, ()), **protocol.paper, **changes})
        checked = protocol.schema.model_validate(given, strict=True)
    except ValidationError as error:
        raise ParamsError(problems_of(error, protocol.schema, ()), Path("--set"), {}) from None
    if twice := list(twice_in(checked)):
        raise ParamsError(twice, Path("--set"), {})
    return checked.model_dump(mode="json", exclude=cells)


def described(weights: str, about: dict[str, Any]) -> dict | None:
    """Settings of the weights, as an entry of models.imported would give them and checked like one; None if their name is
    enough. Raises ParamsError, or ValueError if a file's settings are missing or random weights have any."""
    own = sorted(Imported.model_fields.keys() - {"weights", "row"})
    if wrong := [Problem(("weights", key), "is not a parameter", own, key) for key in about if key not in own]:
        raise ParamsError(wrong, Path("--set"), {})
    if Path(weights).is_file() and not {"format", "backbone"} <= about.keys():
        raise ValueError(
            f"--weights {weights} is a file: say how it is laid out and for which network, as --set weights.format=teacher "
            f"weights.backbone=vit_small_16 (formats: {', '.join(FORMATS)}; docs/encoders.md)"
        )
    if not about:
        return None
    if weights.startswith(RANDOM):
        raise ValueError(f"--set weights.{next(iter(about))} says nothing where weights are {weights}: leave it out")
    try:
        spec = Imported.model_validate(as_tuples({**about, "weights": weights}), strict=True)
    except ValidationError as error:
        raise ParamsError(problems_of(error, Imported, ("weights",)), Path("--set"), {}) from None
    if wrong := list(problems_in(spec, ("weights",))):
        raise ParamsError(wrong, Path("--set"), {})
    return import_settings(spec)


def taken(changes: dict[str, Any], start: str) -> dict[str, Any]:
    """Remove from `changes` the entries whose keys begin with `start`; return them without that prefix."""
    return {key.removeprefix(start): changes.pop(key) for key in list(changes) if key.startswith(start)}


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Values by key, from texts KEY=VALUE. Raises ValueError for a text that is no assignment or repeats a key."""
    found: dict[str, Any] = {}
    for key, value in map(assignment, texts):
        if key in found:
            raise ValueError(f"--set {key} is given twice: keep one")
        found[key] = value
    return found


def assignment(text: str) -> tuple[str, Any]:
    """`k=20` → ("k", 20), the value read as YAML."""
    key, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--set {text}: write KEY=VALUE, as k=20 or subsample=[1,8]")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(
            f"--set {text}: {value!r} is not a YAML value: write KEY=VALUE in quotes, as 'subsample=[1, 8]'"
        ) from None


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(
        "python -m cribo.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own.add_argument(
        "--weights",
        required=True,
        help="folder of an encoder that timm loads; name in docs/encoders.md or of timm; random:vit_small_16; or a file, of "
        "which --set says weights.format and weights.backbone",
    )
    own.add_argument("--protocol", required=True, choices=PROTOCOLS)
    layouts = "; ".join(f"{name}: {protocol.layout}" for name, protocol in PROTOCOLS.items())
    own.add_argument("--dataset", required=True, metavar="NAME=PATH", help=layouts)
    own.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="as in params.yaml's `evaluate`; data.KEY as in its `data`, weights.KEY as in `models.imported`",
    )
    own.add_argument("--out", type=Path, help="file for the result instead of stdout")
    own.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    own.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    own.add_argument("--workers", type=int, default=4, help="threads or processes that read ahead")
    own.add_argument("--threads", type=int, default=0, help="CPU threads, 0: all cores")
    own.add_argument(
        "--feature-memory-gb", type=float, default=8.0, help="features beyond this are kept in a file in $TMPDIR"
    )
    return own


if __name__ == "__main__":
    with explained():
        main(sys.argv[1:])
