"""The stage that dense_nn, hummingbird, knn and yolos share: settings and an encoder in, one result file out."""

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

# Encoder, data set and planned settings → the JSON tree; every process of the world takes part.
Judge = Callable[[Encoder, PreparedSet, dict, Compute, World, Meter], dict]
# The same three → the folder, if any, in which the judge keeps its resumable state. Every process calls it, after the main
# process has written the tree.
Kept = Callable[[Encoder, PreparedSet, dict], Path | None]


def nothing_kept(encoder: Encoder, data: PreparedSet, spec: dict) -> None:
    """Return None: the `Kept` of protocols that train nothing."""


def run_stage(protocol: str, model: str, dataset: str, judge: Judge, kept: Kept = nothing_kept) -> Path | None:
    """Evaluate an encoder as results/plan/PROTOCOL/DATASET.yaml says; write results/scores/PROTOCOL/MODEL-DATASET.json.

    In the main process, returns the folder that `kept` returns; in the others, None.
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
