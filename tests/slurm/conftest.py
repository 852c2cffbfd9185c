"""The project and the toy, each as a user has it on a cluster: a checkout, its profile, its requests."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from cribo import params
from tests.workflow.conftest import ROOT, Tree, computed  # noqa: F401 - a fixture

SMALL = {  # a training of seconds that saves often
    "data": {"scenes": {"size": 48, "train": 32, "val": 4}},
    "pretrain": {
        "views": {"size": 32},
        "head": {"hidden": 16, "bottleneck": 8, "prototypes": 24},
        "clustering": {"K": 4, "normalise_images": 4},
        "matching": {"pool_images": 4, "first_epoch": 1},
        "memory_bank": {"images": 32},
        "optimisation": {"epochs": 60, "batch_size": 16},
    },
    "evaluate": {"models": ["random", "cribo"], "dense_nn": {"subsample": [1], "k": 5}},
    "report": {"examples": {"models": []}},
    "compute": {"workers": 0, "threads": 1, "checkpoint_steps": 20},
}
REQUESTS = {  # of two nodes with 4 CPUs, 8000 MB and 2 GPUs each
    "plan": {"head": True},
    "pretrain": {"threads": 2, "mem_mb": 2000, "runtime": 30, "nodes": 2, "gpus_per_node": 2, "save_seconds": 60},
    "dense_nn": {"gpus_per_node": 1},
}


class Checkout(Tree):
    """A tree whose `snakemake` runs on Slurm."""

    def slurm(self, *args: str, code: int | None = 0, **env: str) -> str:
        return self.do("snakemake", "--profile", "slurm", *args, code=code, **env)

    def request(self, content: dict) -> None:
        (self.root / "workflow/resources.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    if "CRIBO_SLURM" not in os.environ:
        pytest.skip("no Slurm was started for tests: use `make test-slurm`")


def for_tests(root: Path, first_look: int) -> None:
    """The project's profile, which looks at a new job after ten seconds: here after so many as its jobs mostly take.

    Each look that finds nothing new puts the next one off for ten seconds more.
    """
    (root / "slurm").unlink(missing_ok=True)
    shutil.copytree(ROOT / "workflow/profiles/slurm", root / "slurm")
    profile = root / "slurm/config.v9+.yaml"
    content = yaml.safe_load(profile.read_text())
    profile.write_text(yaml.safe_dump({**content, "slurm-init-seconds-before-status-checks": first_look}))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A clone on the branch `main`: the demo cut down to one model and an untrained one, nothing computed."""
    tree = Checkout(tmp_path_factory.mktemp("demo") / "project", patience=900)
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines():
        if (ROOT / name).is_file():
            (tree.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree.root / name)
    demo = yaml.safe_load((ROOT / "recipes/demo.yaml").read_text())
    demo["models"]["trained"] = {"cribo": demo["models"]["trained"]["cribo"]}
    (tree.root / "params.yaml").write_text(yaml.safe_dump(params.merged(demo, SMALL), sort_keys=False))
    tree.request(REQUESTS)
    for_tests(tree.root, 20)
    tree.do("git", "init", "--quiet", "--initial-branch=main")
    commit(tree, "An experiment")
    yield tree
    end_what_runs_in(tree.root)


def job_of(tree: Tree, stage: str) -> str:
    """The job that Slurm has for a stage of this tree."""
    queue = tree.do("squeue", "--noheader", "--format=%A|%k|%Z").splitlines()
    return next(line.split("|")[0] for line in queue if f"|rule_run_{stage}|{tree.root}" in line)


def commit(tree: Tree, message: str) -> None:
    tree.do("git", "add", "--all")
    tree.do("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", message)


@pytest.fixture
def toy(computed: Path, tmp_path: Path) -> Iterator[Checkout]:  # noqa: F811 - the fixture
    """The toy project of tests/workflow, all up to date."""
    tree = Checkout(tmp_path / "tree", patience=400)
    shutil.copytree(computed, tree.root, symlinks=True)
    (tree.root / "workflow").unlink()
    shutil.copytree(ROOT / "workflow", tree.root / "workflow")
    tree.request({"plan": {"head": True}})
    for_tests(tree.root, 2)
    yield tree
    end_what_runs_in(tree.root)


def end_what_runs_in(folder: Path) -> None:
    """End what a lost node's job has left: its snakemake does not, if SIGTERM comes while it holds a lock of its own."""
    ended = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder.resolve()):
                process.kill()
                ended.append(process)
    psutil.wait_procs(ended, timeout=10)
