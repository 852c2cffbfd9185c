"""Head stages, such as `plan`, are brought up to date before the verdicts, by DVC itself.

Any edit of params.yaml makes `plan` stale, yet most of the files that it writes come out the same. Planned as a job it
would drag every stage along, since nobody knows its outputs before it ran. A head stage is instant and a pure function
of small files, so it runs here, also for `snakemake -n`: its outputs are derived files that the next `dvc repro` would
write with the same bytes, and nothing else in the tree changes. The plan that Snakemake then shows is the exact one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from workflow.bridge.errors import BridgeError, say
from workflow.bridge.stages import Stage


def check(stages: dict[str, Stage], heads: set[str]) -> None:
    """A head stage can only wait for head stages, for it runs before all others."""
    for head in heads:
        for up in set(stages[head].up) - heads:
            raise BridgeError(
                f"workflow/resources.yaml: {head} is marked `head` but waits for {up}, which is not: mark both or neither"
            )


def refresh(name: str) -> None:
    """`dvc repro` of this one stage. Its own message is shown when it fails."""
    dvc = Path(sys.executable).with_name("dvc")
    done = subprocess.run([dvc, "--wait-for-lock", "repro", "--single-item", name], capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise BridgeError(f"stage {name} failed, its message is above: no job was started")
    say(f"{name}: brought up to date")
