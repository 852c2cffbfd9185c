"""The books after a stage, on the host of `snakemake`: what its command wrote becomes DVC's record of the stage."""

from __future__ import annotations

import json

from workflow.bridge import fingerprint
from workflow.bridge.cutoff import settled, spare
from workflow.bridge.errors import BridgeError
from workflow.bridge.restore import restore
from workflow.bridge.session import release
from workflow.bridge.stages import Stage, load, one_sentence, open_repo
from workflow.bridge.stamps import stamp, write


def record(name: str) -> None:
    """`dvc commit`, then a look at the dependants: one whose inputs came out the same needs no computing."""
    with one_sentence():
        stages = load(open_repo())
        if name not in stages:
            raise BridgeError(f"{name} is no longer a stage of dvc.yaml: not recorded, start snakemake again")
        _commit(stages[name])
        write(stamp(name, "rec"), "{}")
        _spare_dependants(name, stages)


def _commit(stage: Stage) -> None:
    done = stamp(stage.name, "done")
    receipt = json.loads(done.read_text()) if done.exists() else {}
    if not receipt:  # the stamp of a stage that DVC has recorded, and `snakemake --force` asks again
        return
    if changed := fingerprint.differences(stage, receipt):
        done.unlink()
        raise BridgeError(
            f"{stage.name}: {', '.join(changed)} changed while it ran or after, so its result is not "
            f"recorded: start snakemake again"
        )
    repo = open_repo()
    release(repo, stage)
    repo.commit(stage.name, force=True)


def _spare_dependants(name: str, stages: dict[str, Stage]) -> None:
    """Spare those, all of whose inputs are there, that DVC holds for up to date or can restore; then their dependants."""
    ready = [d for d, stage in stages.items() if name in stage.up and not settled(d) and all(map(settled, stage.up))]
    for dependant in ready:
        if not stages[dependant].status():
            spare(dependant, "its inputs came out the same")
        elif restore(stages[dependant]):
            spare(dependant, "restored from DVC's run cache")
        else:
            continue
        _spare_dependants(dependant, stages)
