"""Refuse a batch that cannot be split over the processes of a training, before anything is submitted.

workflow/resources.yaml says how many processes there are, params.yaml how large the batch and its groups are, and neither
file knows the other. The check itself is the training's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import yaml

from cribo.launch import count
from workflow.bridge import devices
from workflow.bridge.errors import BridgeError
from workflow.bridge.resources import SHOWN, Request, Requests

STAGE = "pretrain"
SETTINGS = Path("results/plan") / STAGE


def check(stages: Iterable[str], requests: Requests, executor: str | None) -> None:
    """Raise for the first model whose batch does not fit. One process takes any batch."""
    for stage in stages:
        group, _, name = stage.partition("@")
        if group == STAGE:
            processes, asked = split(requests.of(stage), executor)
            if processes > 1:
                _check(stage, SETTINGS / f"{name}.yaml", processes, asked)


def split(request: Request, executor: str | None) -> tuple[int, str]:
    """How many processes cribo.launch will start for one training, all nodes together, and what asks for so many."""
    asked = f"{SHOWN} asks for {request.nodes} x {request.gpus_per_node} GPUs, one process each"
    if executor == "slurm":
        return request.nodes * request.gpus_per_node, asked
    if here := min(request.gpus_per_node, len(devices.here())):
        return here, asked
    return count(os.environ, "CRIBO_GPUS", 0) or 1, "CRIBO_GPUS asks for them"


def _check(stage: str, settings: Path, processes: int, asked: str) -> None:
    from cribo.training.loop import check_shapes  # torch takes seconds to import

    content = yaml.safe_load(settings.read_text())
    images = content["optimisation"]["batch_size"]  # photos are counted only when prepared: assume enough
    try:
        check_shapes(content, images, processes)
    except ValueError as error:
        raise BridgeError(f"{stage}: {error} ({asked})") from None
