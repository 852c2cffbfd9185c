"""The files that Snakemake looks at: DVC's verdict, written down.

STAGE.done is the receipt of a stage's command; STAGE.rec says that DVC has recorded the stage. Both are derived, ignored by
git and safe to delete: the next start writes them again.
"""

from __future__ import annotations

import os
from pathlib import Path

STATE = Path(".snakemake/dvc")
KINDS = ("done", "rec", "skip", "forced", "running", "again")


def stamp(stage: str, kind: str) -> Path:
    """The path of a stamp. `done` and `rec` are Snakemake's outputs; `skip`: nothing to compute; `forced`: compute it in any
    case; `running`: who computes it; `again`: the job asks to be requeued."""
    assert kind in KINDS, kind
    return STATE / f"{stage}.{kind}"


def write(path: Path, text: str) -> None:
    """Write the file whole or not at all, even when the process is killed in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    os.replace(part, path)


def set_fresh(stage: str, position: int) -> None:
    """Write both stamps, with times that follow the topological order and never change.

    Snakemake only compares times. As they are fixed, the order in which files were written here does not matter.
    """
    for step, kind in enumerate(("done", "rec")):
        path = stamp(stage, kind)
        if not path.exists() or path.stat().st_size > 2:  # an old receipt says nothing about what DVC recorded since
            write(path, "{}")
        os.utime(path, (1e9 + 2 * position + step,) * 2)


def set_stale(stage: str) -> None:
    """Remove both stamps, so that Snakemake plans the stage and all that depend on it."""
    for kind in ("done", "rec"):
        stamp(stage, kind).unlink(missing_ok=True)


def set_finished(stage: str) -> None:
    """Leave only the receipt: the command is done, but DVC has yet to record the stage."""
    stamp(stage, "rec").unlink(missing_ok=True)
