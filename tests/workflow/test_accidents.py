"""What failed, was killed, or was edited meanwhile is never taken for done, and nothing that a process left blocks."""

import json
import os
import signal
import sys
import threading
import time

import psutil
import pytest
from dvc.exceptions import DvcException
from dvc.repo import Repo

from workflow.bridge import record, session
from workflow.bridge.errors import BridgeError
from workflow.bridge.stages import one_sentence
from workflow.bridge.stamps import write
from workflow.bridge.sync import sync

VOC = "judge@large-voc"


def test_a_failed_stage_shows_its_message_and_the_finished_ones_are_recorded(tree):
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    tree.edit("params.yaml", "k: 5", "k: 6")
    said = tree.snakemake("--keep-going", code=1, TOY_FAIL=VOC)
    assert f"{VOC} is broken on purpose" in said
    assert tree.stale() == {VOC, "tables"}
    tree.ran()
    tree.snakemake()
    assert tree.ran() == [VOC, "tables"] and tree.stale() == set()


def test_a_killed_stage_leaves_nothing_that_is_taken_for_done(tree):
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    snakemake = tree.start("snakemake", "-c2", TOY_WAIT=VOC)
    tree.wait_for(VOC)
    command_of(tree, VOC).kill()
    assert "exit 137" in tree.said_by(snakemake)
    assert snakemake.returncode
    assert (tree.root / "results/judge/large-voc.json").read_text() == "half"
    assert tree.planned() == {VOC, "tables"} and VOC in tree.stale()


def test_a_stage_that_outlives_a_killed_snakemake_is_recorded_by_the_next_one(tree):
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    snakemake = tree.start("snakemake", "-c2", TOY_WAIT=VOC)
    tree.wait_for(VOC)
    command = command_of(tree, VOC)
    snakemake.kill()
    snakemake.wait()
    said = tree.snakemake(code=1)
    assert f"{VOC} is still being computed by process" in said
    tree.go()
    command.wait(60)
    until(tree.root / f".snakemake/dvc/{VOC}.done")
    said = tree.snakemake()
    assert f"dvc: {VOC}: finished earlier, only to be recorded" in said
    assert tree.ran() == [VOC, "tables"] and tree.stale() == set()


def test_a_stage_runs_and_is_recorded_though_another_is_being_written_down(tree):
    """DVC writes dvc.lock in place: two records at once, or a job that starts during one, would find half of it."""
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    snakemake = tree.start("snakemake", "-c2", VOC, TOY_WAIT=VOC)
    tree.wait_for(VOC)
    book = tree.root / "dvc.lock"
    whole = book.read_text()
    with Repo(tree.root).lock:
        book.write_text(whole[: len(whole) // 2 + 5] + "'")
        tree.go()
        until_at_rest(tree, "record", VOC)
        beside = tree.start(sys.executable, "-m", "workflow.bridge", "run", "judge@large-knn")
        time.sleep(3)  # it mostly looks within these, and if not the test only shows less
        book.write_text(whole)
    assert snakemake.poll() is None
    assert not tree.said_by(snakemake).count("validation failed") and snakemake.returncode == 0
    assert not tree.said_by(beside).count("dvc.lock") and beside.returncode == 0
    assert tree.ran() == sorted([VOC, "judge@large-knn"])


def test_tools_started_beside_a_snakemake_say_who_is_busy_and_edits_meanwhile_are_not_recorded(tree):
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    snakemake = tree.start("snakemake", "-c2", TOY_WAIT=VOC)
    tree.wait_for(VOC)
    said = tree.do("dvc", "repro", code=1)
    assert "is busy, it is being blocked by" in said and f"(PID {snakemake.pid}): snakemake -c2" in said
    said = tree.snakemake(code=1)
    assert f"dvc: `snakemake -c2` (process {snakemake.pid} on {os.uname().nodename}) is at work in this directory" in said
    assert tree.planned() == {VOC, "tables"}  # looking does not disturb
    assert VOC in tree.stale()
    tree.edit("code/work.py", '"half"', '"part"')
    tree.go()
    assert f"{VOC}: code/work.py changed while it ran or after" in tree.said_by(snakemake)
    assert snakemake.returncode and VOC in tree.stale()
    assert tree.ran() == [VOC]


def test_a_look_beside_another_start_says_whose_rest_it_shows_or_that_there_is_nothing_yet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for dry, rest in ((True, "the last start"), (False, "it")):
        assert session.begin("snakemake all", dry)
        with pytest.raises(BridgeError, match=r"graph.json is not there.*: wait for the one at work here"):
            sync("snakemake -n", True, set(), lambda stage: False)
        assert f"`snakemake all` (process {os.getpid()} on" in (said := capsys.readouterr().err)
        assert said.endswith(f" is at work here: this is what is left of {rest}\n")
        session.end()


@pytest.fixture
def elsewhere(tree, monkeypatch):
    """The receipt of a stage that another host computed, which DVC has yet to record."""
    tree.snakemake("plan")
    (tree.root / f".snakemake/dvc/{VOC}.rec").unlink()
    tree.do(sys.executable, "-m", "workflow.bridge", "run", VOC)
    receipt = tree.root / f".snakemake/dvc/{VOC}.done"
    receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "host": "node1"}))
    monkeypatch.chdir(tree.root)
    return receipt


def test_what_another_host_wrote_may_show_up_late_and_is_recorded(tree, elsewhere):
    output, late = tree.root / "results/judge/large-voc.json", tree.root / "late"
    output.rename(late)
    threading.Timer(1.5, late.rename, [output]).start()
    record.record(VOC)
    assert elsewhere.with_suffix(".rec").exists() and VOC not in tree.stale()


def test_a_change_is_refused_in_the_end_and_the_next_start_judges_the_receipt(tree, elsewhere, monkeypatch):
    monkeypatch.setattr(record, "PATIENCE", 1.0)
    (tree.root / "results/judge/large-voc.json").write_text("edited")
    with pytest.raises(BridgeError, match=f"{VOC}: results/judge/large-voc.json changed while it ran or after"):
        record.record(VOC)
    assert elsewhere.exists() and not elsewhere.with_suffix(".rec").exists()
    assert tree.planned() == {VOC, "tables"} and not elsewhere.exists()


def test_the_receipt_of_a_result_that_dvc_has_replaced_is_not_asked_again(tree, elsewhere):
    tree.edit("code/work.py", '"half"', '"part"')
    tree.do("dvc", "repro", VOC)
    assert VOC not in tree.planned() and elsewhere.read_text() == "{}"


def test_a_snakemake_started_beside_dvc_repro_says_who_is_busy(tree):
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    dvc = tree.start("dvc", "repro", TOY_WAIT=VOC)
    tree.wait_for(VOC)
    said = tree.snakemake(code=1)
    assert f"dvc: `dvc repro` (process {dvc.pid}) is computing results/judge/large-voc.json" in said
    assert "Traceback" not in said
    tree.go()
    tree.said_by(dvc)
    assert dvc.returncode == 0 and tree.stale() == set()


def test_a_lock_that_a_dead_process_left_blocks_nobody(tree):
    gone = tree.start("true")
    gone.wait()
    entry = {"pid": gone.pid, "cmd": "true"}
    output = str(tree.root / "results/judge/large-voc.json")
    (tree.root / ".dvc/tmp/rwlock").write_text(json.dumps({"read": {output: [entry]}, "write": {output: entry}}))
    (tree.root / ".snakemake/dvc").mkdir(parents=True)
    (tree.root / ".snakemake/dvc/session").write_text(json.dumps({**entry, "host": os.uname().nodename}))
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    tree.snakemake("plan")
    assert "true" not in (tree.root / ".dvc/tmp/rwlock").read_text()
    assert tree.do("dvc", "repro", VOC) and tree.ran() == [VOC]


def test_a_stage_may_save_its_state_after_sigterm_before_the_job_ends(tree):
    wrapper = start_alone(tree)
    wrapper.send_signal(signal.SIGTERM)
    assert f"dvc: {VOC}: exit 143" in tree.said_by(wrapper)
    assert (tree.root / "state").read_text() == "whole"
    assert wrapper.returncode == 143 and not list((tree.root / ".snakemake/dvc").glob(f"{VOC}.*"))


def test_a_signal_that_reaches_the_stage_before_its_wrapper_makes_no_difference(tree):
    """Slurm signals the processes of a job one after the other: the shell is gone and the stage still saves its state."""
    wrapper = start_alone(tree)
    os.killpg(command_of(tree, VOC).parent().pid, signal.SIGTERM)
    time.sleep(0.2)
    wrapper.send_signal(signal.SIGTERM)
    assert f"dvc: {VOC}: exit 143" in tree.said_by(wrapper)
    assert (tree.root / "state").read_text() == "whole" and wrapper.returncode == 143


def slurm(tree, state):
    """Stand-ins for Slurm's commands, inside a job in that state."""
    (tree.root / ".snakemake/dvc").mkdir(parents=True, exist_ok=True)
    (tree.root / ".snakemake/dvc/requests.json").write_text("{}")  # with which it was submitted
    scontrol, squeue = 'echo "$@" > words && mv words asked', f"touch asking; sleep 0.5; echo {state}"
    for name, text in {"scontrol": scontrol, "squeue": squeue}.items():
        program = tree.root / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return {"PATH": f"{tree.root / 'bin'}:{os.environ['PATH']}", "CRIBO_JOB": "42"}


def test_a_stage_that_saved_its_state_inside_a_slurm_job_goes_back_into_the_queue(tree):
    wrapper = start_alone(tree, **slurm(tree, "RUNNING"))
    os.killpg(wrapper.pid, signal.SIGTERM)
    until(tree.root / "asked")
    assert (tree.root / "asked").read_text() == "requeue 42\n"
    assert (tree.root / "state").read_text() == "whole" and wrapper.poll() is None
    wrapper.kill()
    wrapper.wait()


def test_a_second_signal_while_slurm_is_asked_does_not_cost_the_turn(tree):
    wrapper = start_alone(tree, **slurm(tree, "RUNNING"))
    os.killpg(wrapper.pid, signal.SIGTERM)
    until(tree.root / "asking")
    os.killpg(wrapper.pid, signal.SIGTERM)
    until(tree.root / "asked")
    wrapper.send_signal(signal.SIGTERM)  # Slurm's, as it takes the job back
    assert "back into the queue as job 42" in tree.said_by(wrapper) and wrapper.returncode == 143


def test_a_cancelled_job_saves_its_state_and_stays_cancelled(tree):
    wrapper = start_alone(tree, **slurm(tree, "COMPLETING"))
    os.killpg(wrapper.pid, signal.SIGTERM)
    assert "its state is saved, start snakemake again" in tree.said_by(wrapper)
    assert (tree.root / "state").read_text() == "whole" and not (tree.root / "asked").exists()


def until(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} does not come"
        time.sleep(0.05)


def until_at_rest(tree, *words):
    """Until a process of the tree with these words waits for DVC's lock: starting and loading take the CPU's time."""
    seen, deadline = None, time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, f"nothing waits at {' '.join(words)}"
        for process in psutil.process_iter(["cmdline"]):
            if set(words) <= set(process.info["cmdline"] or []) and process.cwd() == str(tree.root):
                spent = (process.pid, sum(process.cpu_times()[:2]))
                if spent == seen and process.status() == psutil.STATUS_SLEEPING:
                    return
                seen = spent
        time.sleep(1)


def start_alone(tree, **env):
    """The rule's command without Snakemake around it, until the stage is at work."""
    write(tree.root / ".snakemake/dvc/requests.json", "{}")
    wrapper = tree.start(sys.executable, "-m", "workflow.bridge", "run", VOC, TOY_WAIT=VOC, **env)
    tree.wait_for(VOC)
    return wrapper


def command_of(tree, stage):
    """The process that runs a stage's own command."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        output = f"results/{stage.replace('@', '/')}.json"
        if {"code/work.py", output} <= set(line) and process.cwd() == str(tree.root):
            return process
    raise AssertionError(f"no process of {stage}")


def test_a_lock_with_the_marks_of_a_merge_is_one_sentence_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n")
    with (
        pytest.raises(BridgeError, match=r"dvc\.lock holds the marks of a merge: `git checkout HEAD"),
        one_sentence(),
    ):
        raise DvcException("unable to read: 'dvc.lock'")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    with pytest.raises(BridgeError, match=r"^unable to read"), one_sentence():
        raise DvcException("unable to read: 'dvc.lock'")
