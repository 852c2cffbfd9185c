"""python -m stages.examples MODEL DATASET: draw pictures of what results/encoders/MODEL does on data/DATASET.

Settings: results/plan/examples/MODEL-DATASET.yaml. Writes results/examples/MODEL-DATASET/.
"""

from __future__ import annotations

from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.data.prepared.readers import open_set
from cribo.evaluation.harness.compute import join
from cribo.examples.run import write_examples
from cribo.model.encoder import load_encoder
from cribo.params import load


def main(model: str, dataset: str) -> None:
    settings, compute = plan.read(f"examples/{model}-{dataset}"), load("params.yaml").compute
    weights = plan.made("encoders", model)
    with join(compute.device, compute.threads) as world:
        encoder = load_encoder(weights, world.device, compute.precision)
        write_examples(encoder, open_set(dataset), settings, world, Path("results/examples") / f"{model}-{dataset}")


if __name__ == "__main__":
    run(main, "python -m stages.examples MODEL DATASET", 2)
