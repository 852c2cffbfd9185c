"""Where an evaluation computes: what params.yaml's `compute` means for one process."""

from __future__ import annotations

import torch

from cribo.evaluation.features import EvaluationError


def use(device: str, threads: int) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` stands for; torch and FAISS get `threads` CPU threads (0: all cores).

    Raises:
        EvaluationError: cuda is asked for and there is none.
    """
    if threads:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise EvaluationError("compute.device is cuda, and torch finds no CUDA device: choose auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
