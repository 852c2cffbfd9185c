"""What tests of the networks' parts share."""

import pytest
import torch

from cribo.model.networks import mlp


@pytest.fixture
def own_passes(monkeypatch):
    """What is compiled takes its own passes on a CPU too."""
    monkeypatch.setattr(mlp, "takes_own_passes", lambda x: torch.compiler.is_compiling())
