"""What all tests share: one thread, and real photos found through CRIBO_REAL_DATA or skipped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def sigterm() -> Iterator[None]:
    """A training that was asked to stop leaves its process deaf to SIGTERM: not this one, which goes on to other tests."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos."""
    folder = os.environ.get("CRIBO_REAL_DATA")
    if not folder:
        pytest.skip("CRIBO_REAL_DATA is not set: no real photos here")
    if not Path(folder).is_dir():
        pytest.fail(f"CRIBO_REAL_DATA is {folder}, which is no folder")
    return Path(folder)
