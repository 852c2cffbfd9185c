"""DVC's run cache: a stage that has run with the same inputs, command and parameters gets its outputs back, uncomputed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dvc.exceptions import DvcException

from workflow.bridge.errors import say
from workflow.bridge.session import release
from workflow.bridge.stages import Stage, open_repo

REFUSE = "/bin/false"  # used as $SHELL: DVC runs commands through it, so `dvc repro` restores or fails


def restorable(asked: Stage) -> bool:
    """Whether `dvc repro` would take this stage from the run cache. Nothing is written.

    `restore` asks this first, because `dvc repro` removes a stage's outputs before it looks into the cache. Afterwards
    `asked` holds the current hashes of its inputs: `dvc status` must be asked of newly loaded objects.
    """
    stage, repo = asked.dvc, asked.dvc.repo
    with repo.lock:
        if not all(dep.exists for dep in stage.deps) or any(out.persist for out in stage.outs):  # DVC never restores these
            return False
        if not stage.changed_stage() and stage.deps_cached():  # only its outputs are missing or edited
            return all(out.hash_info for out in stage.outs) and stage.outs_cached()
        stage.save_deps()  # in memory only: the key of this run in the cache
        if stage.always_changed or stage.is_callback:
            return False
        entry = repo.stage_cache._load(stage)
        return bool(entry) and repo.stage_cache._create_stage(entry, wdir=stage.wdir).outs_cached()


def restore(stage: Stage) -> bool:
    """Bring the outputs back and record them; return False if the cache does not have them."""
    if not restorable(stage):
        return False
    repo, name = open_repo(), stage.name
    release(repo, stage)
    try:
        with _shell(REFUSE):
            repo.reproduce(targets=[name], single_item=True)
    except DvcException as err:
        say(f"{name}: not restored from DVC's run cache, it will be computed ({str(err).strip()})")
        return False
    return True


@contextmanager
def _shell(path: str) -> Iterator[None]:
    before = os.environ.get("SHELL")
    os.environ["SHELL"] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ["SHELL"]
        else:
            os.environ["SHELL"] = before
