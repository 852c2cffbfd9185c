"""Whatever signals come, in whatever order: a stage's processes end by themselves before the bridge goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from workflow.bridge import relay

ROOT = Path(__file__).parents[2]
BRIDGE = """
import signal, sys
from workflow.bridge.relay import relaying
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run under nohup
with relaying() as relay: print(relay.run(sys.argv[1:], {}))
"""
# As torchrun: a process in a session of its own, which is waited for after a first signal and left alone by a second one.
LAUNCHER = """
import signal, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True)
def leave(*_): raise SystemExit(1)
def first(*_):
    signal.signal(signal.SIGTERM, leave)
    worker.send_signal(signal.SIGTERM)
signal.signal(signal.SIGTERM, first)
worker.wait()
sys.exit(1)
"""
WORKER = """
import signal, time
from pathlib import Path
def save(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1.5)
    Path("saved").touch()
    raise SystemExit(1)
signal.signal(signal.SIGTERM, save)
Path("ready").touch()
while True: time.sleep(0.1)
"""


@pytest.fixture
def bridge(tmp_path):
    """A bridge at work, with a launcher and a worker under it."""
    command = [sys.executable, "-c", BRIDGE, sys.executable, "-c", LAUNCHER, WORKER]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("parents_first", [True, False])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_rounds_of_sigterm_to_every_process_let_a_worker_save(bridge, tmp_path, rounds, parents_first):
    for _ in range(rounds):
        processes = [psutil.Process(bridge.pid), *psutil.Process(bridge.pid).children(recursive=True)]
        for process in processes if parents_first else reversed(processes):
            process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    assert bridge.communicate(timeout=60)[0].strip() == "1" and (tmp_path / "saved").exists()


def test_slurm_is_asked_until_it_answers(tmp_path, monkeypatch):
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\necho . >> tries; [ $(wc -l < tries) -ge 3 ] && echo RUNNING\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(relay, "PATIENCE", (0, 0, 0))
    assert relay.ask("squeue").stdout == "RUNNING\n"
    monkeypatch.setattr(relay, "PATIENCE", ())
    (tmp_path / "tries").unlink()
    assert relay.ask("squeue").returncode == 1
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert relay.ask("squeue").stderr == "squeue is not on PATH"


def test_a_terminal_that_is_closed_lets_a_worker_save(bridge, tmp_path):
    bridge.send_signal(signal.SIGHUP)
    assert bridge.communicate(timeout=60)[0].strip() == "1" and (tmp_path / "saved").exists()
