"""The kernel answers like the plain search: through Triton's interpreter without a GPU, compiled where there is one."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.method.searched import CASES, differences


def judge(found):
    assert len(found) == len(CASES) - 1  # the last has no valid key: it was seen that nothing is found
    for short, off, others in found:
        assert short < 2e-3 and off < 1e-6 and others < 0.05  # near-ties of half precision


@pytest.mark.skipif(torch.cuda.is_available(), reason="the compiled kernel is tested here")
def test_the_interpreted_kernel_finds_the_nearest_valid_key_of_another_id():
    pytest.importorskip("triton", reason="Triton is not installed, and there is no GPU that would need it")
    command = [sys.executable, "-m", "tests.method.searched"]  # Triton reads the variable when it is imported
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    judge(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_finds_the_nearest_valid_key_of_another_id():
    judge(differences("cuda"))
