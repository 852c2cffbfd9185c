"""A toy project with the real workflow/: plan, prepare, pretrain@{large,small}, judge@large-{knn,voc}, tables."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from dvc.repo import Repo

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `workflow` is a folder of the project, not of the installed package


@dataclass
class Tree:
    """One copy of the toy project, all of whose stages are up to date."""

    root: Path
    patience: int = 200  # seconds after which a command counts as hung

    def start(self, *command: str, **env: str) -> subprocess.Popen:
        """A program of this environment, in its own process group."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "CRIBO_", "DVC_"))}
        return subprocess.Popen(
            command,
            cwd=self.root,
            text=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**clean, "PATH": path, **env},
        )

    def do(self, *command: str, code: int | None = 0, **env: str) -> str:
        """Run it to its end; returns what it said."""
        process = self.start(*command, **env)
        said, _ = process.communicate(timeout=self.patience)
        assert code is None or bool(process.returncode) == bool(code), said
        return said

    def snakemake(self, *args: str, code: int | None = 0, **env: str) -> str:
        return self.do("snakemake", "-c2", *args, code=code, **env)

    def planned(self) -> set[str]:
        """Stages whose commands `snakemake -n` would run."""
        said = self.do("snakemake", "-n")
        return set(re.findall(r"^(?:local)?rule run_(.+):$", said, re.MULTILINE))

    def stale(self) -> set[str]:
        """Stages that `dvc status` names."""
        with contextlib.chdir(self.root):
            return set(Repo(_wait_for_lock=True).status())

    def ran(self) -> list[str]:
        """Stages whose commands were run since the last call."""
        log = self.root / "ran.log"
        done = sorted(log.read_text().split()) if log.exists() else []
        log.unlink(missing_ok=True)
        return done

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def wait_for(self, stage: str) -> None:
        """Until the stage's command is at work."""
        log, deadline = self.root / "ran.log", time.monotonic() + self.patience
        while not (log.exists() and stage in log.read_text().split()):
            assert time.monotonic() < deadline, f"{stage} did not start"
            time.sleep(0.05)

    def go(self) -> None:
        """Let a stage that TOY_WAIT holds back go on."""
        (self.root / "go").touch()

    def said_by(self, process: subprocess.Popen) -> str:
        return process.communicate(timeout=self.patience)[0]


@pytest.fixture(scope="session")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after one `dvc repro`."""
    root = tmp_path_factory.mktemp("toy") / "tree"
    shutil.copytree(Path(__file__).parent / "toy", root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pipeline.yaml").rename(root / "dvc.yaml")  # under this name DVC would find it in the project itself
    (root / "workflow").symlink_to(ROOT / "workflow")
    (root / ".gitignore").write_text("workflow\n.snakemake/\nran.log\ngo\nstate\n__pycache__/\n")
    tree = Tree(root)
    tree.do("git", "init", "--quiet")
    tree.do("dvc", "init", "--quiet")
    (root / ".dvcignore").write_text("__pycache__\n*.pyc\n")
    tree.do("dvc", "repro", "--quiet")
    tree.ran()
    return root


@pytest.fixture
def tree(computed: Path, tmp_path: Path) -> Tree:
    shutil.copytree(computed, tmp_path / "tree", symlinks=True)
    return Tree(tmp_path / "tree")
