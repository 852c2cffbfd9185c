"""python -m stages.release MODEL: encoder, results and what was trained → results/release/MODEL/, ready for a model hub."""

from __future__ import annotations

from pathlib import Path

from cribo.command import run
from cribo.data.readers import open_set
from cribo.model.card import write_release
from cribo.model.export import read_checkpoint


def main(name: str) -> None:
    results = Path("results")
    checkpoint = results / "pretrain" / name / "checkpoint.safetensors"
    data = open_set(read_checkpoint(checkpoint)[1]["dataset"])
    table = results / "tables/scores.csv"
    write_release(name, results / "encoders" / name, checkpoint, data, table, results / "release" / name)


if __name__ == "__main__":
    run(main, "python -m stages.release MODEL", 1)
