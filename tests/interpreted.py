"""Triton's interpreter, which runs a kernel without a GPU."""

import json
import os
import subprocess
import sys

import pytest


def interpreted(module):
    """What a module of the tests prints of a kernel. A process of its own: Triton reads the variable when it is imported."""
    pytest.importorskip("triton", reason="Triton is not installed, and there is no GPU that would need it")
    command, environ = [sys.executable, "-m", f"tests.{module}"], {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
