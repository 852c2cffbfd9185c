"""python -m cribo.report.tensorboard [OUT]: the curves of every trained model as TensorBoard event files.

Reads results/pretrain/*/curves.csv; writes one run a model under OUT (results/tensorboard), in place of what a run of that
name held. Then: `tensorboard --logdir OUT`. Needs the package tensorboard.
"""

from __future__ import annotations

from pathlib import Path

from cribo.command import emptied, run
from cribo.report.experiment.curves import Curves, read_curves
from cribo.report.experiment.results import ReportError


def write_events(curves: Curves, out: Path) -> None:
    """A run a model, a scalar a column, at the steps where it was logged. Raises ReportError without the package."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ReportError("TensorBoard is not installed here: python -m pip install tensorboard") from None
    for model, curve in curves.items():
        with SummaryWriter(str(emptied(out / model))) as writer:
            for name in curve.keys() - {"step", "epoch", "at"}:
                for step, value in zip(curve["step"], curve[name], strict=True):
                    if value is not None:
                        writer.add_scalar(name, value, int(step), walltime=0.0)  # when it was computed is not in curves.csv


def main(out: str = "results/tensorboard") -> None:
    models = sorted(path.parent.name for path in Path("results/pretrain").glob("*/curves.csv"))
    if not models:
        raise ReportError("results/pretrain holds no curves.csv: train a model first, dvc repro pretrain")
    write_events(read_curves(models, Path("results/pretrain")), Path(out))
    print(f"{len(models)} models: tensorboard --logdir {out}")


if __name__ == "__main__":
    run(main, "python -m cribo.report.tensorboard [OUT]", 0, 1)
