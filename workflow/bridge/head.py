"""Head stages, such as `plan`, are brought up to date by DVC itself, before it is asked what is stale.

Any edit of params.yaml makes `plan` stale, yet most of the files that it writes come out the same. If it were planned as a
job, every stage would be planned along with it, since its outputs are unknown until it has run. A head stage is instant and
a pure function of small files, so it runs here, also for `snakemake -n`. This is harmless: the next `dvc repro` would write
its outputs with the same bytes, and nothing else in the tree changes. The plan that Snakemake then shows is exact.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from workflow.bridge.errors import BridgeError, say
from workflow.bridge.stages import Stage


def check(stages: dict[str, Stage], heads: set[str]) -> None:
    """Raise BridgeError if a head stage waits for one that is not: head stages run before all others."""
    for head in heads:
        for up in set(stages[head].up) - heads:
            raise BridgeError(
                f"workflow/resources.yaml: {head} is marked `head` but waits for {up}, which is not: mark both or neither"
            )


def refresh(name: str) -> None:
    """Run `dvc repro` for this stage alone, and show its own message if it fails."""
    dvc = Path(sys.executable).with_name("dvc")
    done = subprocess.run([dvc, "--wait-for-lock", "repro", "--single-item", name], capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise BridgeError(f"stage {name} failed, its message is above: no job was started")
    say(f"{name}: brought up to date")
