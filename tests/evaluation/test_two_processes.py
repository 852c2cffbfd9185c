"""Two gloo processes, keys on disk and in chunks: every protocol gives the result of one process in memory."""

from __future__ import annotations

import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from cribo.evaluation.features import patch_features as features
from cribo.evaluation.neighbours.search import exact_search
from cribo.model.architectures import BACKBONES
from cribo.model.encoder import load_encoder
from cribo.model.export import write_encoder
from cribo.model.networks.backbone import seeded_backbone
from cribo.training.engine.distributed import World
from tests.evaluation.detection.conftest import open_squares, write_coco
from tests.evaluation.test_knn import open_photos, write_photos
from tests.evaluation.two_processes import judge_all, neighbours, results
from tests.processes import Forks

DEMO = BACKBONES["vit_demo_8"]

ALONE = World(0, 1, torch.device("cpu"))
SIZES = {"train": [(32, 32), (40, 27), (35, 48), (32, 32), (29, 61), (32, 32)], "val": [(32, 40), (45, 33), (32, 40)]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_set):
    """Photos of every protocol and an encoder, judged by two processes."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "data.pickle").write_bytes(pickle.dumps(write_set(folder / "photos", SIZES)))
    open_photos(write_photos(folder / "folders"), folder / "data")
    open_squares(write_coco(folder / "coco"), folder / "data")
    write_encoder(seeded_backbone(DEMO, 32, 0).eval(), DEMO, 32, folder / "encoder")
    processes = Forks(partial(judge_all, folder), 2)
    _, err = processes.communicate()
    assert processes.returncode == 0, err
    return folder


def test_results_are_those_of_one_process(folder):
    shared, alone = json.loads((folder / "results.json").read_text()), json.loads(json.dumps(results(folder, ALONE)))
    assert shared.keys() == alone.keys() == {"dense_nn", "hummingbird", "knn", "yolos"}
    for protocol in ("dense_nn", "hummingbird", "knn"):
        assert shared[protocol] == alone[protocol]
    for name, value in alone["yolos"].items():  # gradients are added in another order
        assert shared["yolos"][name] == pytest.approx(value, rel=1e-3, abs=1e-6), name


def test_neighbours_are_those_of_one_search_over_all_keys(folder):
    shared: dict = {}
    for rank in range(2):
        own = json.loads((folder / f"neighbours{rank}.json").read_text())
        assert own and not own.keys() & shared.keys()
        shared |= own
    encoder, data = load_encoder(folder / "encoder"), pickle.loads((folder / "data.pickle").read_bytes())
    memory, queries = (features.extract(encoder, data.splits[split], 4, 255, ALONE) for split in ("train", "val"))
    keys = np.flatnonzero(memory.labels != 255)
    values, indices = exact_search(queries.features, memory.features[keys], 5)
    alone = neighbours(encoder, data, ALONE)
    for i in range(len(SIZES["val"])):
        rows = slice(queries.starts[i], queries.starts[i + 1])
        assert shared[str(i)][0] == alone[i][0] == keys[indices[rows].numpy()].tolist()
        assert torch.allclose(torch.tensor(shared[str(i)][1]), values[rows].float(), atol=1e-5)
        assert len(shared) == len(SIZES["val"]) and Path(folder / "results.json").exists()
