"""python -m stages.plan: check params.yaml → results/plan/, the settings of each later stage; print overridden presets."""

from __future__ import annotations

from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.fidelity import overridden
from cribo.params import load

FOLDERS = ("benchmarks", "examples", "pretrain", "scores")  # later stages depend on these as a whole, even if they are empty


def main() -> None:
    params = load("params.yaml")
    plan.write(params, "results/plan")
    for folder in FOLDERS:
        keep = Path("results") / folder / ".gitkeep"
        keep.parent.mkdir(parents=True, exist_ok=True)
        keep.touch()
    for name in params.models.trained:
        read = plan.pretrain_settings(params.model(name))
        for sentence in overridden(params.unresolved(name).model_dump(mode="json"), read):
            print(f"{name}: {sentence}")


if __name__ == "__main__":
    run(main, "python -m stages.plan", 0)
