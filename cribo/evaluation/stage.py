"""What the stages of all protocols without training share: settings and encoder in, one result file out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cribo import plan
from cribo.evaluation.compute import join
from cribo.evaluation.result import Meter, write_json
from cribo.model.encoder import Encoder, load_encoder
from cribo.params import Compute, load
from cribo.training.distributed import World

# Encoder, opened data set, settings as planned → the JSON tree; every process of the world takes part.
Judge = Callable[[Encoder, Any, dict, Compute, World, Meter], dict]
# The same three → nothing is left of what the judge kept for going on; called once the tree is written.
Forget = Callable[[Encoder, Any, dict], None]


def nothing_kept(encoder: Encoder, data: Any, spec: dict) -> None:
    """Of protocols that train nothing."""


def run_stage(
    protocol: str,
    model: str,
    dataset: str,
    open_data: Callable[[str], Any],
    judge: Judge,
    forget: Forget = nothing_kept,
) -> None:
    """Judge an encoder as results/plan/PROTOCOL/DATASET.yaml says; write results/scores/PROTOCOL/MODEL-DATASET.json."""
    spec, compute = plan.read(f"{protocol}/{dataset}"), load("params.yaml").compute
    weights = plan.made("encoders", model)
    with join(compute.device, compute.threads) as world:
        meter = Meter(world.device)
        encoder = load_encoder(weights, world.device, compute.precision)
        data = open_data(spec["dataset"])
        tree = judge(encoder, data, spec, compute, world, meter)
        if world.main:
            path = Path("results/scores") / protocol / f"{model}-{dataset}.json"
            write_json(path, tree)
            forget(encoder, data, spec)
            print(f"{path}: {tree['value']:.2f} %, {tree['protocol']['value']}", file=sys.stderr)
