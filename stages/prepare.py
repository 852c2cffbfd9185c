"""python -m stages.prepare NAME: make data/NAME as results/plan/data/NAME.yaml says, and verify every image."""

from __future__ import annotations

from cribo import plan
from cribo.command import run
from cribo.data.preparation.prepare import prepare


def main(name: str) -> None:
    prepare(name, plan.read(f"data/{name}"))


if __name__ == "__main__":
    run(main, "python -m stages.prepare NAME", 1)
