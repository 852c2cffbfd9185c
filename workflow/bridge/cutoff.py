"""Early cut-off: a stage that turned out to need no computing is not put into Slurm's queue.

Whether the dependants of a stage must run is known only when its outputs are, long after Snakemake fixed its list of
jobs. Snakemake asks `is this rule local?` as late as it hands a job over, so the answer is given then: a stage that
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
    """The stage needs no computing: its two rules become no-ops."""
    write(stamp(stage, "skip"), reason)
    say(f"{stage}: {reason}, nothing to compute")


def settled(stage: str) -> bool:
    """What the stage wrote is there, and DVC knows it."""
    return stamp(stage, "rec").exists() or stamp(stage, "skip").exists()


def pass_over(stage: str, kind: str) -> bool:
    """Write the stamp of a spared stage; False for one that is to be computed. DVC is not asked, which takes longer."""
    if spared := stamp(stage, "skip").exists():
        write(stamp(stage, kind), "{}")
    return spared
