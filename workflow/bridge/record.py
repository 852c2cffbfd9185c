"""Record a finished stage in DVC, on the host of `snakemake`."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress

from workflow.bridge import fingerprint
from workflow.bridge.cutoff import settled, spare
from workflow.bridge.errors import BridgeError
from workflow.bridge.restore import restore
from workflow.bridge.session import release
from workflow.bridge.stages import Stage, load_some, one_sentence, open_repo, saved_graph
from workflow.bridge.stamps import stamp, write

PATIENCE = 60.0  # seconds: over NFS, what another host wrote into a folder may stay invisible for so long


def record(name: str) -> None:
    """Run `dvc commit`, then look at the dependants: one whose inputs came out the same needs no computing."""
    with one_sentence():
        stage = load_some(open_repo(), [name]).get(name)
        if not stage:
            raise BridgeError(f"{name} is no longer a stage of dvc.yaml: not recorded, start snakemake again")
        _commit(stage)
        write(stamp(name, "rec"), "{}")
        _spare_dependants(name, saved_graph())


def _commit(stage: Stage) -> None:
    done = stamp(stage.name, "done")
    receipt = json.loads(done.read_text()) if done.exists() else {}
    if not receipt:  # DVC has already recorded the stage
        return
    if changed := _changed(stage, receipt):  # the receipt stays: sync looks at it again at the next start
        raise BridgeError(
            f"{stage.name}: {', '.join(changed)} changed while it ran or after, so its result is not "
            f"recorded: start snakemake again"
        )
    repo = open_repo()
    release(repo, stage)
    repo.commit(stage.name, force=True)


def _changed(stage: Stage, receipt: dict) -> list[str]:
    """List what differs from the receipt. Files that another host wrote are given time to show up here."""
    patience = 0.0 if receipt.get("host") == os.uname().nodename else PATIENCE
    deadline, pause = time.monotonic() + patience, 0.5
    while (changed := _look(stage, receipt)) and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(2 * pause, 8.0)
    return changed


def _look(stage: Stage, receipt: dict) -> list[str]:
    for folder in {os.path.dirname(path) or "." for path in (*stage.deps, *stage.outs)}:
        with suppress(OSError):
            os.listdir(folder)  # makes NFS ask its server what is in there
    try:
        return fingerprint.differences(stage, receipt)
    except OSError as err:  # a file that was listed but is gone
        return [str(err.filename)]


def _spare_dependants(name: str, graph: dict[str, list[str]]) -> None:
    """Spare each dependant with all inputs there that DVC finds up to date or can restore; then its own dependants."""
    waiting = [d for d, up in graph.items() if name in up and not settled(d) and all(map(settled, up))]
    ready = [d for d in waiting if not stamp(d, "forced").exists()]
    for dependant, stage in load_some(open_repo(), ready).items() if ready else ():
        if not stage.status():
            spare(dependant, "its inputs came out the same")
        elif restore(stage):
            spare(dependant, "restored from DVC's run cache")
        else:
            continue
        _spare_dependants(dependant, graph)
