"""Translate workflow/resources.yaml for Snakemake's Slurm executor and for the stage's own environment."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cribo.command import did_you_mean
from workflow.bridge.errors import BridgeError
from workflow.bridge.stamps import STATE, write

FILE = Path(__file__).resolve().parent.parent / "resources.yaml"
SHOWN = "workflow/resources.yaml"
SAVED = STATE / "requests.json"
TEXTS = {  # by key: the pattern of its value, and the pattern in words
    "partition": (r"[^,\s]+(,[^,\s]+)*", "a name, or several with commas and no spaces between them"),
    "account": (r"\S+", "a name"),
    "qos": (r"\S+", "a name"),
    "constraint": (r".+", "features of nodes as sbatch --constraint takes them"),
    "gpu_type": (r"[A-Za-z0-9_.]+", "a name of letters, digits, _ and . as in `sinfo -o %G`"),
}


@dataclass(frozen=True)
class Request:
    """What one stage asks for; resources.yaml says what each key means. None: the profile decides."""

    threads: int = 1
    mem_mb: int | None = None
    runtime: int | None = None
    gpus_per_node: int = 0
    gpu_type: str | None = None
    nodes: int = 1
    save_seconds: int = 0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    head: bool = False

    def snakemake(self) -> dict[str, int | str]:
        """The rule's `resources`. The Slurm plugin turns them into sbatch options."""
        extra = "--open-mode=append"  # a requeued job continues in the same log
        if self.save_seconds:
            extra += f" --signal=TERM@{self.save_seconds}"
        asked: dict[str, Any] = {
            "mem_mb": self.mem_mb,
            "runtime": self.runtime,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "slurm_extra": extra,
        }
        if self.gpus_per_node:
            # gres counts GPUs per node. Without tasks_per_gpu=0 the plugin would also ask for tasks per GPU.
            gres = ":".join(filter(None, ("gpu", self.gpu_type, str(self.gpus_per_node))))
            asked |= {"gres": gres, "tasks_per_gpu": 0, "gpus": self.nodes * self.gpus_per_node}
        if self.nodes > 1:
            # With `mpi` the job runs in Slurm's batch step, from which cribo.launch may call srun itself.
            asked |= {"mpi": "srun", "nodes": self.nodes, "tasks": self.nodes}
        return {key: value for key, value in asked.items() if value is not None}

    def environment(self) -> dict[str, str]:
        """What cribo.launch reads inside a Slurm job."""
        asked = {"NODES": self.nodes, "GPUS": self.gpus_per_node, "CPUS": self.threads, "SAVE_SECONDS": self.save_seconds}
        return {f"CRIBO_{name}": str(value) for name, value in asked.items()}


class Requests:
    """The requests of all stages. A key `pretrain@vit_base` adds to `pretrain` for that one stage."""

    def __init__(self, content: dict[str, dict[str, Any]]) -> None:
        self.content = content
        for name in content:
            self.of(name)  # every mistake is found at the start, not when its stage comes up

    @classmethod
    def read(cls, path: Path = FILE) -> Requests:
        """Read the requests from the YAML file."""
        content = _tree(path, SHOWN)
        if not all(isinstance(v, dict) for v in content.values()):
            raise BridgeError(f"{SHOWN}: write each stage as `NAME: {{threads: 1}}`")
        stages = _tree(path.parent.parent / "dvc.yaml", "dvc.yaml").get("stages") or {}
        for name in content:  # checks only `pretrain` of pretrain@vit_base: not every experiment has the model
            if (group := name.partition("@")[0]) not in stages:
                raise BridgeError(f"{SHOWN}: {name}: dvc.yaml has no stage {group}{did_you_mean(group, stages)}")
        return cls(content)

    def save(self) -> None:
        """Save the requests for the jobs: after an edit, a queued job must not expect other GPUs than Slurm gives it."""
        write(SAVED, json.dumps(self.content, indent=1))

    @classmethod
    def saved(cls) -> Requests:
        """The requests with which this job was submitted."""
        if not SAVED.exists():
            raise BridgeError(
                f"{SAVED} is missing, where a start of snakemake keeps its requests: start snakemake without -n"
            )
        return cls(json.loads(SAVED.read_text()))

    def of(self, stage: str) -> Request:
        """The request of a stage; a stage that the file does not name gets a single core and the profile's defaults."""
        asked = {**self.content.get(stage.partition("@")[0], {}), **self.content.get(stage, {})}
        return _checked(stage, asked)

    @property
    def heads(self) -> set[str]:
        """Names of the stages marked `head`, without the @ and what follows it."""
        return {name.partition("@")[0] for name in self.content if self.of(name).head}


def _tree(path: Path, shown: str) -> dict[str, Any]:
    """The content of a YAML file. A stage named twice is an error; plain YAML would silently take the second."""
    from cribo.params import ParamsError  # takes a fifth of a second, which jobs on a cluster save
    from cribo.params.yaml_lines import parse_yaml, read_text

    try:
        return parse_yaml(read_text(path), Path(shown))[0]
    except ParamsError as error:
        raise BridgeError(str(error)) from None


def _checked(stage: str, asked: dict[str, Any]) -> Request:
    known = {field.name for field in fields(Request)}
    for key, value in asked.items():
        where = f"{SHOWN}: {stage}: {key}"
        if key not in known:
            raise BridgeError(f"{where} is unknown, use one of {', '.join(sorted(known))}{did_you_mean(key, known)}")
        if key in TEXTS:
            pattern, wanted = TEXTS[key]
            good = isinstance(value, str) and bool(re.fullmatch(pattern, value))
        elif key == "head":
            good, wanted = isinstance(value, bool), "true or false"
        else:
            least = 0 if key in ("gpus_per_node", "save_seconds") else 1
            good, wanted = type(value) is int and value >= least, f"a whole number from {least}"
        if not good:
            raise BridgeError(f"{where} is {value!r}: give {wanted}")
    request = Request(**asked)
    if request.nodes > 1 and not request.gpus_per_node:
        raise BridgeError(
            f"{SHOWN}: {stage} asks for {request.nodes} nodes without GPUs, and only training on GPUs "
            f"uses several: set gpus_per_node, or nodes: 1"
        )
    if request.gpu_type and not request.gpus_per_node:
        raise BridgeError(f"{SHOWN}: {stage} names a gpu_type but asks for no GPU: set gpus_per_node")
    if request.runtime and request.save_seconds >= 60 * request.runtime:
        raise BridgeError(
            f"{SHOWN}: {stage} is to save {request.save_seconds} s before its limit of {request.runtime} "
            f"min, which is before it starts: lower save_seconds or raise runtime"
        )
    return request
