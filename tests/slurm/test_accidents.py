"""Jobs and nodes are lost, `snakemake` is killed: the same command completes, and computes nothing twice."""

import re
import time

from tests.slurm.conftest import REQUESTS, job_of

VOC = "judge@large-voc"


def start(tree):
    """`snakemake` on Slurm with one stage to compute, which waits at its work."""
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    snakemake = tree.start("snakemake", "--profile", "slurm", VOC, TOY_WAIT=VOC)
    tree.wait_for(VOC)
    return snakemake


def node_of(tree, job):
    return re.search(r"BatchHost=(\S+)", tree.do("scontrol", "show", "job", job))[1]


def wait_for_end(tree, job):
    """Until nothing of the job runs any more."""
    while job in tree.do("squeue", "--noheader", "--format=%A").split():
        time.sleep(0.2)


def log_of(tree, job):
    (log,) = tree.root.glob(f"results/logs/slurm/**/{job}.log")
    return log.read_text()


def test_a_job_moves_when_its_node_goes_down_and_the_next_run_makes_good_for_a_cancelled_one(toy):
    snakemake = start(toy)
    job = job_of(toy, VOC)
    node = node_of(toy, job)
    assert toy.ran() == [VOC]
    toy.do("scontrol", "update", f"NodeName={node}", "State=down", "Reason=test")
    toy.wait_for(VOC)
    toy.do("scontrol", "update", f"NodeName={node}", "State=resume")
    assert node_of(toy, job) != node and snakemake.poll() is None
    toy.do("scancel", job)
    toy.said_by(snakemake)
    wait_for_end(toy, job)  # snakemake leaves as soon as the job counts as cancelled, its stage may still be saving then
    assert "its state is saved, start snakemake again to continue" in log_of(toy, job)
    assert snakemake.returncode and (toy.root / "state").read_text() == "whole"
    assert toy.ran() == [VOC]
    toy.slurm(VOC)
    assert toy.ran() == [VOC] and toy.stale() == {"tables"}


def test_the_job_of_a_killed_snakemake_ends_and_is_recorded_by_the_next_one(toy):
    snakemake = start(toy)
    snakemake.kill()
    snakemake.wait()
    job = job_of(toy, VOC)
    assert f"{VOC} is still being computed by Slurm job {job}: wait for it, or `scancel {job}`" in toy.slurm(VOC, code=1)
    toy.go()
    wait_for_end(toy, job)
    assert f"dvc: {VOC}: finished earlier, only to be recorded" in toy.slurm(VOC)
    assert toy.ran() == [VOC] and toy.stale() == {"tables"}


def test_a_request_that_the_cluster_cannot_meet_is_refused_before_anything_is_submitted(toy):
    toy.request({"plan": {"head": True}, "pretrain": {**REQUESTS["pretrain"], "nodes": 3}})
    assert "lower the request or name another partition" in toy.slurm("all", code=1)
