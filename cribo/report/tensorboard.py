"""python -m cribo.report.tensorboard [OUT]: write the curves of every trained model as TensorBoard event files.

Reads results/pretrain/*/curves.csv. Writes one run per model under OUT (results/tensorboard) and replaces what a run of that
name held. View them with `tensorboard --logdir OUT`. Needs the package tensorboard.
"""

from __future__ import annotations

from pathlib import Path

from cribo.command import emptied, run
from cribo.report.experiment.curves import Curves, read_curves
from cribo.report.experiment.results import ReportError


def write_events(curves: Curves, out: Path) -> None:
    """Write a run per model and a scalar per column, at the logged steps. Raises ReportError without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ReportError("TensorBoard is not installed here: python -m pip install tensorboard") from None
    for model, curve in curves.items():
        with SummaryWriter(str(emptied(out / model))) as writer:
            for name in curve.keys() - {"step", "epoch", "at"}:
                for step, value in zip(curve["step"], curve[name], strict=True):
                    if value is not None:
                        writer.add_scalar(name, value, int(step), walltime=0.0)  # curves.csv does not hold the time


def main(out: str = "results/tensorboard") -> None:
    models = sorted(path.parent.name for path in Path("results/pretrain").glob("*/curves.csv"))
    if not models:
        raise ReportError("results/pretrain holds no curves.csv: train a model first, dvc repro pretrain")
    write_events(read_curves(models, Path("results/pretrain")), Path(out))
    print(f"{len(models)} models: tensorboard --logdir {out}")


if __name__ == "__main__":
    run(main, "python -m cribo.report.tensorboard [OUT]", 0, 1)
