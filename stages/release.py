"""python -m stages.release MODEL: encoder, results, training summary → results/release/MODEL/, ready for a model hub."""

from __future__ import annotations

from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.data.prepared.readers import open_set
from cribo.model.card import write_release
from cribo.model.checkpoint_file import read_checkpoint


def main(name: str) -> None:
    results = Path("results")
    checkpoint, encoder = plan.made("pretrain", name) / "checkpoint.safetensors", plan.made("encoders", name)
    data = open_set(read_checkpoint(checkpoint)[1]["dataset"])
    table = results / "tables/scores.csv"
    write_release(name, encoder, checkpoint, data, table, results / "release" / name)


if __name__ == "__main__":
    run(main, "python -m stages.release MODEL", 1)
