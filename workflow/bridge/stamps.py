"""The files that Snakemake looks at: DVC's verdict, written down.

STAGE.done is the receipt of a stage's command, STAGE.rec says that DVC has recorded it. Both are derived, ignored by git
and safe to delete: the next start writes them again.
"""

from __future__ import annotations

import os
from pathlib import Path

STATE = Path(".snakemake/dvc")
KINDS = ("done", "rec", "skip", "forced", "running", "again")


def stamp(stage: str, kind: str) -> Path:
    """`done` and `rec` are Snakemake's outputs; `skip`: nothing to compute; `forced`: compute it in any case;
    `running`: by whom; `again`: requeue me."""
    assert kind in KINDS, kind
    return STATE / f"{stage}.{kind}"


def write(path: Path, text: str) -> None:
    """Whole or not at all, even when the process is killed in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    os.replace(part, path)


def set_fresh(stage: str, position: int) -> None:
    """Both stamps, with times that follow the topological order and never change.

    Snakemake compares times only. Fixed ones mean that the order in which files were written here says nothing.
    """
    for step, kind in enumerate(("done", "rec")):
        path = stamp(stage, kind)
        if not path.exists() or path.stat().st_size > 2:  # an old receipt says nothing of what DVC has recorded since
            write(path, "{}")
        os.utime(path, (1e9 + 2 * position + step,) * 2)


def set_stale(stage: str) -> None:
    """No stamp: Snakemake plans the stage and all that follow from it."""
    for kind in ("done", "rec"):
        stamp(stage, kind).unlink(missing_ok=True)


def set_finished(stage: str) -> None:
    """Only the receipt: the command is done, DVC has yet to record it."""
    stamp(stage, "rec").unlink(missing_ok=True)
