"""A small experiment's results on disk, for tests of pages made from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from cribo import params, plan
from cribo.params.evaluate import PROTOCOLS
from tests.edits import DEMO

NOT_JUDGED = {protocol: {"models": [], "datasets": []} for protocol in PROTOCOLS}  # of results/plan/report.yaml
VALUES = {"random": 18.3, "global": 19.8, "cross_view": 20.5, "cribo": 20.1}


def score(model: str, value: float, **more: object) -> dict:
    return {
        "value": value,
        "model": model,
        "dataset": "scenes",
        "dataset_digest": "ab" * 32,
        "versions": {"torch": "2.11.0"},
        "cost": {"seconds": 7.25, "peak_memory_mib": 812, "device": "cpu"},
    } | more


def write(path: Path, tree: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))


def experiment(results: Path, text: str = DEMO) -> dict:
    """Plan, scores, curves and examples of the demo under `results`; returns results/plan/report.yaml."""
    given = params.parse(text, Path("params.yaml"))
    plan.write(given, results / "plan")
    for model, value in VALUES.items():
        shares = {
            f"1/{factor}": {"mean": value - i, "std": 0.5 if i else None, "runs": [value - i] * (2 if i else 1)}
            for i, factor in enumerate(given.evaluate.dense_nn.subsample)
        }
        classes = {"background": value, "blob": 3.5, "absent": None}
        tree = score(model, value, patch=shares, pixel=shares, per_class={"patch": classes, "pixel": classes})
        write(results / f"scores/dense_nn/{model}-scenes.json", tree)
    for model in ("global", "cross_view", "cribo"):
        write(results / f"pretrain/{model}/cost.json", {"seconds": 61.5, "peak_memory_mib": 900, "device": "cpu"})
        extra = (
            ",bootstrapping_1,bootstrapping_2\n10,0,5.0,,\n20,1,4.0,0.1,0.3\n"
            if model == "cribo"
            else "\n10,0,5.0\n20,1,4.0\n"
        )
        (results / f"pretrain/{model}/curves.csv").write_text(f"step,epoch,loss{extra}")
    folder = results / "examples/cribo-scenes"
    folder.mkdir(parents=True)
    for i, name in enumerate(("a", "b")):
        Image.fromarray(np.full((8, 8, 3), 80 * (i + 1), np.uint8)).save(folder / f"{name}.png")
    pair = {"object": "a.png", "neighbour": "b.png", "id": "n<1>", "cosine": 0.5, "accepted": True, "colour": "#aa0000"}
    photo = {"id": "p1", "view": "a.png", "regions": "b.png", "objects": 4, "accepted": 1, "pairs": [pair]}
    shown = {"id": "q", "class": "blob", "picture": "a.png"}
    write(
        folder / "examples.json",
        {
            "model": "cribo", "dataset": "scenes", "licence": "none", "source": "generated",
            "matches": {
                "bank": 9, "queries": 8, "pool": 8, "group": 4, "own_groups": True, "criterion": "cycle", "learnt": True,
                "K": 4, "ratio": 0.25, "photos": [photo],
            },
            "segmentation": {
                "memory": 9,
                "legend": [{"name": "blob", "colour": "#00aa00"}],
                "photos": [{"id": "s", "photo": "a.png", "truth": "b.png", "prediction": "b.png"}],
            },
            "retrieval": {
                "memory": 9,
                "feature": "CLS token",
                "photos": [{"query": shown, "neighbours": [shown | {"cosine": 0.9}]}],
            },
        },
    )  # fmt: skip
    return yaml.safe_load((results / "plan/report.yaml").read_text())
