"""python -m stages.dense_nn MODEL DATASET: judge results/encoders/MODEL by dense nearest neighbours on data/DATASET.

Settings: results/plan/dense_nn/DATASET.yaml. Writes results/scores/dense_nn/MODEL-DATASET.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.data.readers import open_set
from cribo.evaluation.compute import use
from cribo.evaluation.dense_nn import Settings, evaluate
from cribo.evaluation.result import Meter, dense_nn_result, write_json
from cribo.model.encoder import load_encoder
from cribo.params import load


def main(model: str, dataset: str) -> None:
    spec, compute = plan.read(f"dense_nn/{dataset}"), load("params.yaml").compute
    device = use(compute.device, compute.threads)
    meter = Meter(device)
    encoder = load_encoder(Path("results/encoders") / model, device, compute.precision)
    data = open_set(spec["dataset"])
    settings = Settings(spec["k"], spec["temperature"], tuple(spec["subsample"]), spec["runs"], spec["seed"])
    found = evaluate(encoder, data, settings, compute.workers)
    result = dense_nn_result(model, data, settings, encoder.patch_size, found, meter.read())
    path = Path("results/scores/dense_nn") / f"{model}-{dataset}.json"
    write_json(path, result)
    print(f"{path}: patch mIoU {result['value']:.2f} % at 1/{min(settings.subsample)}", file=sys.stderr)


if __name__ == "__main__":
    run(main, "python -m stages.dense_nn MODEL DATASET", 2)
