"""What all tests share: one thread, and real photos found through CRIBO_REAL_DATA or skipped."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos."""
    folder = os.environ.get("CRIBO_REAL_DATA")
    if not folder:
        pytest.skip("CRIBO_REAL_DATA is not set: no real photos here")
    if not Path(folder).is_dir():
        pytest.fail(f"CRIBO_REAL_DATA is {folder}, which is no folder")
    return Path(folder)
