"""python -m stages.plan: params.yaml, checked → results/plan/, what each later stage reads."""

from __future__ import annotations

from cribo import plan
from cribo.command import run
from cribo.params import load


def main() -> None:
    plan.write(load("params.yaml"), "results/plan")


if __name__ == "__main__":
    run(main, "python -m stages.plan", 0)
