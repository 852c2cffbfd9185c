"""Early cut-off: a stage that turns out to need no computing is not put into Slurm's queue.

Whether the dependants of a stage must run is known only when its outputs are, long after Snakemake has fixed its list of
jobs. But Snakemake asks `is this rule local?` only when it hands a job over, so the answer can be given then: a stage that
record.py has marked runs here, as an instant no-op, without waiting for a GPU.
"""

from __future__ import annotations

from workflow.bridge.errors import say
from workflow.bridge.stamps import stamp, write

RUN = "run_"  # prefix of the rules that do the work


class LocalRules(set):
    """Names of rules that run on the host of `snakemake`, in place of `Workflow._localrules`."""

    def __contains__(self, rule: object) -> bool:
        name = str(rule)
        return super().__contains__(rule) or (name.startswith(RUN) and stamp(name.removeprefix(RUN), "skip").exists())


def spare(stage: str, reason: str) -> None:
    """Mark the stage as one that needs no computing: its two rules become no-ops."""
    write(stamp(stage, "skip"), reason)
    say(f"{stage}: {reason}, nothing to compute")


def settled(stage: str) -> bool:
    """Whether the stage's outputs are there and recorded by DVC."""
    return stamp(stage, "rec").exists() or stamp(stage, "skip").exists()


def pass_over(stage: str, kind: str) -> bool:
    """Write the stamp of a spared stage; return False if it must be computed. DVC is not asked: that would take longer."""
    if spared := stamp(stage, "skip").exists():
        write(stamp(stage, kind), "{}")
    return spared
