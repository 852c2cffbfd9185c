"""The stages of dvc.yaml as DVC itself resolves them: vars, foreach, matrix and templates are expanded.

`Repo.index.graph`, `load_file`, `Stage.addressing` and `dep.read_params()` belong to DVC's Python API, which promises no
stability. DVC is therefore pinned to a minor version, and this is one of the few files that use the API.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from dvc.dependency import ParamsDependency
from dvc.dvcfile import LOCK_FILE, PROJECT_FILE, load_file
from dvc.exceptions import DvcException
from dvc.parsing import ResolveError
from dvc.repo import Repo
from dvc.scm import SCMError
from dvc.stage import PipelineStage
from dvc.utils.serialize import ParseError

from workflow.bridge.errors import BridgeError
from workflow.bridge.stamps import STATE, write

GRAPH = STATE / "graph.json"
PATIENCE = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between attempts to read a file that another process writes

logging.getLogger("dvc").setLevel(logging.ERROR)  # else DVC warns of a frozen stage at every look


@dataclass(frozen=True)
class Stage:
    """One stage, and the stages that it waits for (`up`) if all stages were loaded."""

    dvc: PipelineStage
    up: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name as in `dvc repro NAME`, such as `pretrain@cribo`."""
        return self.dvc.addressing

    @property
    def commands(self) -> list[str]:
        """Its commands, which dvc.yaml gives as a list or as one command per line."""
        return self.dvc.cmd if isinstance(self.dvc.cmd, list) else self.dvc.cmd.splitlines()

    @property
    def deps(self) -> list[str]:
        """Files and folders that it reads, relative to the root of the repository."""
        return [os.path.relpath(d.fs_path) for d in self.dvc.deps if not isinstance(d, ParamsDependency)]

    @property
    def outs(self) -> list[str]:
        """Files and folders that it writes, relative to the root of the repository."""
        return [os.path.relpath(o.fs_path) for o in self.dvc.outs]

    @property
    def cleared(self) -> list[str]:
        """Outputs that are removed before it runs: all but those with `persist: true`."""
        return [os.path.relpath(o.fs_path) for o in self.dvc.outs if not o.persist]

    @property
    def params(self) -> dict[str, dict]:
        """Values of its `params:` by file, as they are on disk now."""
        return {str(d.def_path): d.read_params() for d in self.dvc.deps if isinstance(d, ParamsDependency)}

    def status(self) -> list[str | dict]:
        """Its entry in `dvc status` as things are now; empty when it is up to date."""
        with self.dvc.repo.lock:
            return self.dvc.status(check_updates=True).get(self.name, [])


def open_repo() -> Repo:
    """The repository here. It waits for DVC's lock; plain DVC gives up after three seconds."""
    return Repo(".", _wait_for_lock=True)


def load(repo: Repo) -> dict[str, Stage]:
    """Stages by name, in topological order, read under DVC's lock since DVC writes dvc.lock in place."""
    with repo.lock:
        return _load(repo)


def load_some(repo: Repo, names: Iterable[str]) -> dict[str, Stage]:
    """Those of the named stages that dvc.yaml has. Much faster than `load`, which makes a graph of all stages."""
    with repo.lock:
        return _load_some(repo, names)


def load_one_without_lock(name: str) -> Stage | None:
    """The stage, if dvc.yaml has it; for compute nodes, which leave DVC's lock alone."""
    return _patiently(lambda: _load_some(open_repo(), [name])).get(name)


def _patiently(read: Callable[[], dict[str, Stage]]) -> dict[str, Stage]:
    """Read without DVC's lock, and try again on errors: a half-written dvc.lock is not valid YAML, but is soon complete.

    If half of a dvc.lock happens to be valid YAML, the stages are still right, because dvc.yaml defines them.
    """
    for seconds in PATIENCE:
        try:
            return read()
        except DvcException:
            time.sleep(seconds)
    return read()


def _load(repo: Repo) -> dict[str, Stage]:
    graph = repo.index.graph
    order = [s for s in reversed(list(nx.topological_sort(graph))) if s.cmd]
    # A frozen stage is not waited for and waits for nobody, as in `dvc repro`.
    return {
        s.addressing: Stage(s, () if s.frozen else tuple(u.addressing for u in graph.successors(s) if u.cmd)) for s in order
    }


def _load_some(repo: Repo, names: Iterable[str]) -> dict[str, Stage]:
    """Load stages without `up`, which would need the graph."""
    stages = load_file(repo, PROJECT_FILE).stages
    return {name: Stage(stages[name]) for name in names if name in stages}


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn DVC's own errors, such as a mistake in dvc.yaml, into a BridgeError, which is shown without a traceback.

    DVC reads the names of stages from params.yaml before `plan` can check that file. A mistake there is therefore reported
    as `plan` would report it, not as a failure of dvc.yaml. Where DVC expects a list and finds none, it raises a TypeError.
    """
    try:
        yield
    except (DvcException, TypeError) as err:
        if _conflict():
            raise BridgeError(
                "dvc.lock holds the marks of a merge: `git checkout HEAD -- dvc.lock results` and `git add` both; "
                "what that side lacks is computed again (docs/usage.md, Merge branches)"
            ) from err
        if isinstance(err, ResolveError | ParseError | TypeError) and (mistakes := _mistakes()):
            raise BridgeError(mistakes) from err
        if isinstance(err, TypeError):
            raise
        if isinstance(err, SCMError):
            raise BridgeError(f"{err}: give `git init`, or `dvc config --local core.no_scm true` to do without git") from err
        said = [str(err).strip()] + ([str(err.__cause__).strip()] if err.__cause__ else [])
        raise BridgeError(": ".join(said)) from err


def _conflict() -> bool:
    """Whether git has left both sides of dvc.lock in it."""
    lock = Path(LOCK_FILE)
    return lock.exists() and any(line.startswith("<<<<<<< ") for line in lock.read_text().splitlines())


def _mistakes() -> str | None:
    """The mistakes in params.yaml, one per line; None if there are none."""
    from cribo.params import ParamsError, load  # takes half a second

    try:
        load()
    except ParamsError as error:
        return str(error)
    return None


def save_graph(graph: dict[str, tuple[str, ...]]) -> None:
    """Save the graph for the jobs: an edit of dvc.yaml must not change the rules of a job that waits in the queue."""
    write(GRAPH, json.dumps(graph, indent=1))


def saved_graph() -> dict[str, list[str]]:
    """The graph of the `snakemake` that submitted this job."""
    if not GRAPH.exists():
        raise BridgeError(
            f"{GRAPH} is not there, as no start of snakemake has come so far: wait for the one at work here, or start one "
            f"without -n"
        )
    return json.loads(GRAPH.read_text())
