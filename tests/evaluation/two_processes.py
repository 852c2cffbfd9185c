"""What test_two_processes.py runs in each process."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import torch

from cribo import params
from cribo.data.prepared.readers import open_set
from cribo.evaluation import knn
from cribo.evaluation.dense_nn.result import judge as judge_dense_nn
from cribo.evaluation.detection import run as yolos
from cribo.evaluation.detection.boxes import boxes_of
from cribo.evaluation.detection.train import finetune
from cribo.evaluation.features import image_features
from cribo.evaluation.features import patch_features as features
from cribo.evaluation.harness.compute import join
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.harness.result import Meter
from cribo.evaluation.hummingbird import run as hummingbird
from cribo.evaluation.neighbours import shared_search
from cribo.model.encoder import load_encoder
from cribo.training.engine.distributed import World

DENSE = {"k": 5, "temperature": 0.07, "subsample": [1, 3], "runs": 2, "seed": 7}
HUMMINGBIRD = {
    "size": 32, "k": 4, "temperature": 0.02, "passes": 2, "crop_area": [0.5, 2.0], "jitter": 0.1, "jitter_probability": 0.5,
    "patches_per_image": 9, "void_is_class_0": True, "match_classes": True, "seed": 0,
}  # fmt: skip
KNN = {"k": [1, 3, 7], "temperature": 0.07, "short_side": 40, "crop": 32}
YOLOS = {
    "epochs": 2, "batch_size": 4, "lr": 1e-4, "min_lr": 1e-5, "weight_decay": 1e-2, "clip_norm": 0.1, "tokens": 6, "seed": 0,
    "grid": [48, 40], "short": [32, 48, 8], "longest": 64, "crop_from": [32, 40], "crop": [24, 40], "test": 40,
}  # fmt: skip


def results(folder: Path, world: World, memory_gb: float = 8.0) -> dict:
    """The JSON of every protocol without what it cost; of YOLOS means of the weights, which AP would round away."""
    torch.set_num_threads(1)
    encoder, data = load_encoder(folder / "encoder"), pickle.loads((folder / "data.pickle").read_bytes())
    compute = params.load("recipes/demo.yaml").compute.model_copy(update={"feature_memory_gb": memory_gb, "workers": 1})
    cases = {
        "dense_nn": (judge_dense_nn, data, DENSE),
        "hummingbird": (hummingbird.judge, data, HUMMINGBIRD),
        "knn": (knn.judge, open_set("tints", folder / "data", folder / "folders"), KNN),
    }
    meter = Meter(world.device, "fp32")
    found = {name: judge(encoder, d, spec, compute, world, meter) for name, (judge, d, spec) in cases.items()}
    for tree in found.values():
        del tree["cost"]
    squares, state = boxes_of(open_set("squares", folder / "data", folder / "coco")), folder / f"state{world.size}"
    state.mkdir(exist_ok=True)
    model = finetune(encoder, squares, YOLOS, state, compute, world)
    detections = yolos.detect(model, encoder, squares, yolos.sizes_of(YOLOS, encoder.patch_size), 1, world)
    found["yolos"] = {name: float(value.abs().mean()) for name, value in model.named_parameters()}
    found["yolos"]["detections"] = len(detections)
    return found


def neighbours(encoder, data, world: World) -> dict[int, list]:
    """Rows and cosines of the five nearest training patches, for each val image of this process."""
    memory, queries = (features.extract(encoder, data.splits[s], 4, 255, world) for s in ("train", "val"))
    found, progress = {}, Progress("", 1e9)
    for positions, cosines, rows in shared_search.shared_search(queries, memory, memory.labels != 255, 5, world, progress):
        own = [queries.shares[world.rank][p] for p in positions]
        ends = np.cumsum([0, *(queries.starts[i + 1] - queries.starts[i] for i in own)])
        for n, i in enumerate(own):
            found[i] = [rows[ends[n] : ends[n + 1]].tolist(), cosines[ends[n] : ends[n + 1]].tolist()]
    return found


def judge_all(folder: Path) -> None:
    """Small batches, chunks and blocks, so that each process has several; keys on disk."""
    features.BATCH_PIXELS, image_features.BATCH_PIXELS, knn.QUERIES = 2 * 32 * 32, 5 * 32 * 32, 5
    shared_search.KEYS, shared_search.QUERIES, shared_search.BLOCK = 17, 40, 16
    with join("cpu", 1) as world:
        found = results(folder, world, memory_gb=0)
        encoder, data = load_encoder(folder / "encoder"), pickle.loads((folder / "data.pickle").read_bytes())
        (folder / f"neighbours{world.rank}.json").write_text(json.dumps(neighbours(encoder, data, world)))
        if world.main:
            (folder / "results.json").write_text(json.dumps(found))
