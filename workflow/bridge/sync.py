"""At every start of `snakemake`: ask DVC what is stale and write its answer down as stamp files."""

from __future__ import annotations

import json
from collections.abc import Callable

from workflow.bridge import alive, fingerprint, head, session
from workflow.bridge.errors import BridgeError, say
from workflow.bridge.restore import restorable, restore
from workflow.bridge.stages import Stage, load, one_sentence, open_repo, save_graph, saved_graph
from workflow.bridge.stamps import set_finished, set_fresh, set_stale, stamp, write

Graph = dict[str, tuple[str, ...]]
NAMED = 3  # stages with live jobs that a message names; there may be hundreds


def sync(command: str, dry: bool, heads: set[str], forces: Callable[[str], bool]) -> Graph:
    """Write stamps as DVC sees the tree, and return the graph from which rules are made.

    `heads` are the names that workflow/resources.yaml marks `head`; `forces` tells whether a stage is to be computed
    whatever DVC says. A dry run restores nothing, but writes stamps and runs head stages (see head.py for why that is
    harmless).
    """
    if not session.begin(command, dry):
        return saved_graph()
    with one_sentence():
        session.refuse_beside_dvc(open_repo())
        stages = _after_heads(heads)
        graph = {name: stage.up for name, stage in stages.items()}
        refuse_beside_jobs(stages, dry)
        stale = _verdicts(stages, dry, forces)
        if dry:
            session.end()
        else:
            save_graph(graph)
            session.reserve(open_repo(), [stages[name] for name in stages if name in stale])
    return graph


def _after_heads(heads: set[str]) -> dict[str, Stage]:
    """Bring head stages up to date and return all stages, so that no verdict is based on an old plan."""
    refreshed: set[str] = set()
    while True:
        stages = load(open_repo())
        names = [name for name in stages if name.partition("@")[0] in heads]
        head.check(stages, set(names))
        due = next((name for name in names if name not in refreshed and stages[name].status()), None)
        if due is None:
            return stages
        head.refresh(due)
        refreshed.add(due)


def refuse_beside_jobs(stages: dict[str, Stage], dry: bool) -> None:
    """Raise BridgeError, before any stamp changes, if jobs of an earlier `snakemake` still live; a dry run only says so."""
    jobs = alive.queued()
    busy = [f"{name} is still being computed by {who}" for name in stages if (who := alive.computing(name, jobs))]
    if not busy:
        return
    told = "; ".join(busy[:NAMED]) + (f"; and so are {len(busy) - NAMED} more" if len(busy) > NAMED else "")
    if not dry:
        raise BridgeError(told)
    say(told)


def _verdicts(stages: dict[str, Stage], dry: bool, forces: Callable[[str], bool]) -> set[str]:
    """Stamp every stage and return the stale ones.

    DVC is asked stage by stage, since restoring a stage may change the verdict on those that follow.
    """
    stale: set[str] = set()
    for position, (name, stage) in enumerate(stages.items()):
        for kind in ("skip", "forced"):
            stamp(name, kind).unlink(missing_ok=True)
        if (asked := forces(name)) or stale.intersection(stage.up):
            stale.add(name)
            if dry and _finished(stage) and stage.status():  # a dry run keeps a result that waits to be recorded
                set_finished(name)
            else:
                set_stale(name)
            if asked:
                write(stamp(name, "forced"), "")
        elif not (entries := stage.status()):
            set_fresh(name, position)
        elif _finished(stage):
            say(f"{name}: finished earlier, only to be recorded")
            stale.add(name)
            set_finished(name)
        else:
            why = reason(stage, entries)  # before `restore`, after which DVC's stage knows its inputs as they are now
            if not dry and restore(stage):
                say(f"{name}: restored from DVC's run cache")
                set_fresh(name, position)
                continue
            note = "; in DVC's run cache, to be restored" if dry and restorable(stage) else ""
            say(f"{name}: {why}{note}")
            stale.add(name)
            set_stale(name)
    return stale


def _finished(stage: Stage) -> bool:
    """Whether its command succeeded with the present inputs, but the `snakemake` that waited for it is gone."""
    receipt = stamp(stage.name, "done")
    if not receipt.exists():
        return False
    content = json.loads(receipt.read_text())
    return "inputs" in content and not fingerprint.differences(stage, content)


def reason(stage: Stage, entries: list[str | dict]) -> str:
    """Put a stage's entries in `dvc status` into words."""
    if not any(dep.hash_info for dep in stage.dvc.deps) and not any(out.hash_info for out in stage.dvc.outs):
        return "never computed"
    changed, outs = [], []
    for entry in entries:
        if entry == "always changed":
            changed.append("every time, as it has no dependencies or says so")
        elif isinstance(entry, str):
            changed.append(entry.removeprefix("changed "))
        else:
            for path, what in entry.get("changed deps", {}).items():
                keys = f" ({', '.join(map(str, what))})" if isinstance(what, dict) else ""
                changed.append(f"{path}{keys}")
            outs += [f"{path} is {what}" for path, what in entry.get("changed outs", {}).items()]
    return "; ".join(part for part in ("changed: " + ", ".join(changed) if changed else "", ", ".join(outs)) if part)
