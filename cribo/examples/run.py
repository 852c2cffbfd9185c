"""All examples of one encoder on one data set: PNG files, and examples.json, which says what they show."""

from __future__ import annotations

import json
from pathlib import Path

from cribo.command import emptied
from cribo.data.prepared.readers import PreparedSet
from cribo.examples.matches import matches
from cribo.examples.retrieval import retrieval
from cribo.examples.segmentation import segmentation
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World


def write_examples(encoder: Encoder, data: PreparedSet, settings: dict, world: World, out: Path) -> dict:
    """Empty and fill `out`; return the content of examples.json. Examples that the model or data do not allow are None."""
    emptied(out)
    about = {
        "model": encoder.name,
        "dataset": data.name,
        "licence": data.licence,
        "source": data.source,
        "matches": matches(encoder, data, settings, out),
        "segmentation": segmentation(encoder, data, settings["dense_nn"] | settings, world, out),
        "retrieval": retrieval(encoder, data, settings["knn"] | settings, world, out),
    }
    (out / "examples.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return about
