"""What the stages of dense_nn, hummingbird, knn and yolos share: settings and encoder in, one result file out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from cribo import plan
from cribo.data.prepared.readers import PreparedSet, open_set
from cribo.evaluation.harness.compute import join
from cribo.evaluation.harness.result import Meter, write_json
from cribo.model.encoder import Encoder, load_encoder
from cribo.params import Compute, load
from cribo.training.engine.distributed import World

# Encoder, data set, settings as planned → the JSON tree; every process of the world takes part.
Judge = Callable[[Encoder, PreparedSet, dict, Compute, World, Meter], dict]
# The same three → the folder with what the judge keeps for going on, if anything; asked for in each process once the tree
# is written.
Kept = Callable[[Encoder, PreparedSet, dict], Path | None]


def nothing_kept(encoder: Encoder, data: PreparedSet, spec: dict) -> None:
    """Of protocols that train nothing."""


def run_stage(protocol: str, model: str, dataset: str, judge: Judge, kept: Kept = nothing_kept) -> Path | None:
    """Judge an encoder as results/plan/PROTOCOL/DATASET.yaml says; write results/scores/PROTOCOL/MODEL-DATASET.json.

    Returns, in the main process, what `kept` says.
    """
    spec, compute = plan.read(f"{protocol}/{dataset}"), load("params.yaml").compute
    weights = plan.made("encoders", model)
    with join(compute.device, compute.threads) as world:
        meter = Meter(world.device, compute.precision)
        encoder = load_encoder(weights, world.device, compute.precision)
        data = open_set(spec["dataset"])
        tree = judge(encoder, data, spec, compute, world, meter)
        if world.main:
            path = Path("results/scores") / protocol / f"{model}-{dataset}.json"
            write_json(path, tree)
            print(f"{path}: {tree['value']:.2f} %, {tree['protocol']['value']}", file=sys.stderr)
        folder = kept(encoder, data, spec)
        world.barrier()
        return folder if world.main else None
