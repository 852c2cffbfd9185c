"""Impossible requests are refused in one sentence before anything is submitted; possible ones reach Slurm as meant."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

from workflow.bridge import alive, sync
from workflow.bridge.command_line import command_line
from workflow.bridge.errors import BridgeError
from workflow.bridge.preflight import Node, compare, minutes, preflight
from workflow.bridge.resources import Request, Requests

ROOT = Path(__file__).parents[2]


class Resources(dict):
    """A job's resources as the Slurm plugin reads them."""

    __getattr__ = dict.__getitem__


BIG = Node("big1", "gpu", cpus=16, mem_mb=64000, gpus=2, minutes=1440, types={"a100": 2})
THIN = Node("thin1", "cpu", cpus=64, mem_mb=32000, gpus=0, minutes=float("inf"))


def test_several_nodes_reach_the_plugin_in_the_only_form_that_it_runs():
    asked = Request(threads=8, gpus_per_node=2, nodes=2, save_seconds=120, runtime=60).snakemake()
    assert asked == {
        "runtime": 60,
        "slurm_extra": "--open-mode=append --signal=TERM@120",
        "gres": "gpu:2",
        "gpus": 4,
        "tasks_per_gpu": 0,
        "mpi": "srun",
        "nodes": 2,
        "tasks": 2,
    }


def test_one_node_without_gpus_asks_for_nothing_that_it_does_not_need():
    assert Request(mem_mb=500).snakemake() == {"mem_mb": 500, "slurm_extra": "--open-mode=append"}


def test_the_kind_of_node_reaches_the_plugin_in_its_own_words():
    kind = {"partition": "gpu,night", "qos": "long", "constraint": "ib&nvme", "gpu_type": "a100", "gpus_per_node": 4}
    asked = Requests({"pretrain": kind}).of("pretrain@a").snakemake()
    assert asked["slurm_partition"] == "gpu,night" and asked["gres"] == "gpu:a100:4"
    assert asked["qos"] == "long" and asked["constraint"] == "ib&nvme"
    job = SimpleNamespace(resources=Resources(asked), threads=1)
    words = ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir")
    call = get_submit_command(job, dict.fromkeys(words, "")) + set_gres_string(job)
    assert "-C 'ib&nvme'" in call and "--qos=long" in call and "--gres=gpu:a100:4" in call


def test_a_request_for_a_stage_that_there_is_not_is_refused(tmp_path):
    (tmp_path / "workflow").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {plan: {cmd: x}, pretrain: {foreach: [a], do: {cmd: x}}}")
    file = tmp_path / "workflow/resources.yaml"
    file.write_text("{pretrain: {threads: 2}, pretrain@b: {threads: 4}}")
    assert Requests.read(file).of("pretrain@b").threads == 4
    file.write_text("{pretrian@b: {threads: 2}}")
    with pytest.raises(BridgeError, match=r"pretrian@b: dvc.yaml has no stage pretrian; did you mean pretrain"):
        Requests.read(file)


@pytest.mark.parametrize(
    ("requests", "pipeline", "says"),
    [
        ("plan: {head: true}\nplan: {}\n", "stages: {plan: {cmd: x}}", r"workflow/resources.yaml:2: plan: is given twice"),
        ("plan: {head: true\n", "stages: {plan: {cmd: x}}", r"workflow/resources.yaml:2: is not valid YAML"),
        ("plan: {head: true}\n", "stages:\n  plan: {cmd: x\n", r"dvc.yaml:3: is not valid YAML"),
    ],
)
def test_a_stage_that_is_named_twice_and_a_file_that_is_no_yaml_are_one_sentence(requests, pipeline, says, tmp_path):
    (tmp_path / "workflow").mkdir()
    (tmp_path / "dvc.yaml").write_text(pipeline)
    (tmp_path / "workflow/resources.yaml").write_text(requests)
    with pytest.raises(BridgeError, match=f"^{says}"):
        Requests.read(tmp_path / "workflow/resources.yaml")


def test_one_stage_of_many_may_ask_for_more():
    requests = Requests({"pretrain": {"threads": 4, "gpus_per_node": 1}, "pretrain@large": {"gpus_per_node": 4}})
    asked = {"CRIBO_NODES": "1", "CRIBO_GPUS": "4", "CRIBO_CPUS": "4", "CRIBO_SAVE_SECONDS": "0"}
    assert requests.of("pretrain@large").environment() == asked
    assert requests.of("pretrain@small").gpus_per_node == 1
    assert requests.of("tables") == Request()


def test_a_job_keeps_the_requests_with_which_it_was_submitted(tree):
    state = tree.root / ".snakemake/dvc"
    tree.snakemake("-n")
    assert not (state / "requests.json").exists() and not (state / "graph.json").exists()  # of jobs that may be queued
    tree.snakemake("plan")
    assert json.loads((state / "requests.json").read_text()) == Requests.read().content
    (state / "requests.json").write_text('{"tables": {"thread": 2}}')
    assert "thread is unknown" in tree.snakemake("--mode", "remote", "-n", code=1)  # as a job reads the rules
    (state / "requests.json").unlink()
    assert "requests.json is missing" in tree.snakemake("--mode", "remote", "-n", code=1)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"gpus": 1}, "pretrain: gpus is unknown, use one of"),
        ({"thread": 1}, "did you mean threads"),
        ({"nodes": 2}, "2 nodes without GPUs"),
        ({"threads": 0}, "threads is 0: give a whole number from 1"),
        ({"mem_mb": "8G"}, "mem_mb is '8G': give a whole number"),
        ({"threads": True}, "threads is True: give a whole number"),
        ({"head": "yes"}, "head is 'yes': give true or false"),
        ({"runtime": 2, "save_seconds": 120}, "before it starts"),
        ({"partition": "gpu, night"}, "partition is 'gpu, night': give a name, or several with commas and no spaces"),
        ({"qos": 3}, "qos is 3: give a name"),
        ({"constraint": ""}, "constraint is '': give features"),
        ({"gpu_type": "rtx-4090", "gpus_per_node": 1}, "gpu_type is 'rtx-4090': give a name of letters"),
        ({"gpu_type": "a100"}, "names a gpu_type but asks for no GPU"),
    ],
)
def test_a_mistaken_request_is_one_sentence_that_names_the_stage(asked, sentence):
    with pytest.raises(BridgeError, match=sentence) as caught:
        Requests({"pretrain": asked})
    assert "workflow/resources.yaml" in str(caught.value) and "pretrain" in str(caught.value)


@pytest.mark.parametrize(
    "request_",
    [
        Request(threads=32, gpus_per_node=1),  # CPUs on one kind of node, GPUs on the other
        Request(gpus_per_node=2, nodes=2),  # one such node only
        Request(mem_mb=65000),
        Request(gpus_per_node=1, runtime=1500),
        Request(partition="night"),
        Request(partition="gpu,night"),
        Request(partition="gpu", threads=17),
        Request(gpus_per_node=1, gpu_type="h100"),
    ],
)
def test_what_no_node_can_give_is_refused(request_):
    with pytest.raises(BridgeError, match="pretrain"):
        compare("pretrain", request_, [BIG, THIN])


@pytest.mark.parametrize(
    "request_",
    [
        Request(threads=64),
        Request(threads=64, partition="gpu,cpu"),
        Request(gpus_per_node=2, gpu_type="a100", threads=16, mem_mb=64000, runtime=1440),
    ],
)
def test_the_largest_that_a_node_can_give_is_accepted(request_):
    compare("pretrain", request_, [BIG, THIN])


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("1-00:00:00", 1440), ("2:30:00", 150), ("30:00", 30), ("infinite", float("inf")), ("n/a", float("inf"))],
)
def test_time_limits_of_partitions_are_read_as_slurm_prints_them(limit, expected):
    assert minutes(limit) == expected


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    (folder / name).chmod(0o755)


def test_without_slurm_nothing_is_submitted_and_the_sentence_says_where_to_start(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BridgeError, match="there is no Slurm here"):
        preflight(["pretrain"], Requests({}), "slurm", None, False)
    preflight(["pretrain"], Requests({}), None, None, False)
    preflight(["pretrain"], Requests({}), "slurm", None, True)  # `snakemake -n --profile slurm` on a workstation


def test_the_cluster_is_read_from_sinfo(tmp_path, monkeypatch):
    program(tmp_path, "sinfo", "n1|gpu|16|64000|gpu:a100:4(S:0-1),shard:4|1-00:00:00\nn2|cpu|64|32000|(null)|infinite")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    four, five = (Requests({"pretrain": {"gpus_per_node": n, "gpu_type": "a100"}}) for n in (4, 5))
    preflight(["pretrain"], four, "slurm", None, False)
    with pytest.raises(BridgeError, match=r"5 a100 GPUs .*at most 64 CPUs, 64000 MB, 4 GPUs of a100"):
        preflight(["pretrain"], five, "slurm", None, False)
    preflight(["pretrain"], five, None, None, False)  # this machine
    with pytest.raises(BridgeError, match="which 0 nodes"):
        preflight(["pretrain"], four, "slurm", "cpu", False)
    preflight(["pretrain"], Requests({"pretrain": {"gpus_per_node": 4, "partition": "gpu"}}), "slurm", "cpu", False)


@pytest.mark.parametrize(("words", "partition"), [("gpu,night", "gpu,night"), ("'g' + 'pu'", None), (None, None)])
def test_the_partition_of_the_profile_is_that_of_stages_that_name_none(tmp_path, monkeypatch, words, partition):
    chosen = f"default-resources: {{slurm_partition: {json.dumps(words)}}}" if words else "cores: 1"
    (tmp_path / "config.yaml").write_text(chosen)
    monkeypatch.setattr("sys.argv", ["snakemake", "--profile", str(tmp_path), "-n"])
    assert command_line().partition == partition


@pytest.mark.parametrize(
    ("words", "forced"),
    [
        (["-R", "judge", "prepare"], {"judge@voc", "prepare"}),
        (["-R", "run_judge@voc"], {"judge@voc"}),
        (["-f", "prepare"], {"prepare"}),
        (["prepare"], set()),
        (["-F"], {"judge@voc", "prepare", "tables"}),
    ],
)
def test_a_stage_is_forced_by_its_name_its_groups_or_its_rules_and_all_by_capital_f(monkeypatch, words, forced):
    monkeypatch.setattr("sys.argv", ["snakemake", "-n", *words])
    assert {stage for stage in ("judge@voc", "prepare", "tables") if command_line().forces(stage)} == forced


def test_a_job_of_this_directory_in_the_queue_counts_as_computing(tmp_path, monkeypatch):
    program(tmp_path, "squeue", f"7|rule_run_pretrain@a|{tmp_path}\n8|rule_run_pretrain@b|/elsewhere\n9||{tmp_path}")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    jobs = alive.queued()
    assert jobs == {"pretrain@a": "7"}
    assert "scancel 7" in alive.computing("pretrain@a", jobs) and alive.computing("pretrain@b", jobs) is None


def test_a_slurm_that_does_not_answer_never_means_that_a_job_has_ended(tmp_path, monkeypatch):
    (tmp_path / "squeue").write_text("#!/bin/sh\necho Socket timed out >&2; exit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CRIBO_JOB", "4711")
    monkeypatch.chdir(tmp_path)
    jobs = alive.queued()
    assert jobs is None and alive.computing("pretrain@a", jobs) is None  # nobody has begun it
    with alive.running("pretrain@a"), pytest.raises(BridgeError, match="begun by Slurm job 4711 and squeue does not say"):
        alive.computing("pretrain@a", jobs)


def test_all_stages_whose_jobs_live_are_named_or_counted_in_one_refusal(tmp_path, monkeypatch, capsys):
    program(tmp_path, "squeue", "\n".join(f"{n}|rule_run_pretrain@{n}|{tmp_path}" for n in range(1, 8)))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    stages = {f"pretrain@{n}": None for n in range(9)}
    with pytest.raises(BridgeError, match=r"pretrain@1 is still .*scancel 2.*pretrain@3 is still .*; and so are 4 more$"):
        sync.refuse_beside_jobs(stages, dry=False)
    sync.refuse_beside_jobs(stages, dry=True)
    assert "and so are 4 more" in capsys.readouterr().err


def test_the_projects_own_requests_and_profiles_are_sound():
    requests = Requests.read()
    assert requests.heads == {"plan"}
    default, slurm = (
        yaml.safe_load((ROOT / f"workflow/profiles/{p}/config.v9+.yaml").read_text()) for p in ("default", "slurm")
    )
    assert not {"executor", "jobs", "cores", "default-resources", "set-resources"} & default.keys()  # it would win
    assert default["rerun-triggers"] == ["mtime"] and slurm["executor"] == "slurm"
    assert (ROOT / "slurm").resolve() == ROOT / "workflow/profiles/slurm"


def test_nothing_in_the_pipeline_depends_on_requests():
    tracked = subprocess.run(["grep", "-c", "resources.yaml", ROOT / "dvc.yaml"], capture_output=True, text=True)
    assert tracked.stdout.strip() in ("", "0")
