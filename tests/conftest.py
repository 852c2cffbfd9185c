"""What all tests share: one thread, and real photos found through CRIBO_REAL_DATA or skipped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a script's background jobs, whose children ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def hearing() -> Iterator[None]:
    """A training that was asked to stop leaves its process deaf: not this one, which goes on to other tests."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos."""
    folder = os.environ.get("CRIBO_REAL_DATA")
    if not folder:
        pytest.skip("CRIBO_REAL_DATA is not set: no real photos here")
    if not Path(folder).is_dir():
        pytest.fail(f"CRIBO_REAL_DATA is {folder}, which is not a folder")
    return Path(folder)
