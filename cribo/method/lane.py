"""A second queue of work on a GPU, in which the teacher's many small kernels run beside the student's large ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch


@dataclass(frozen=True)
class Lane:
    """A stream beside the current one. Without a stream, work is done in the order in which it is written.

    Tensors made in the lane may be used outside it after `wait`, and freed at any time after that: the lane reuses their
    memory only for work of a later `queue`, which comes after everything queued outside before it. Tensors made outside and
    used in the lane must be held until `wait`; otherwise another tensor could take their memory while the lane reads it.
    """

    stream: torch.cuda.Stream | None = None

    @contextmanager
    def queue(self) -> Iterator[None]:
        """Queue the work inside: it runs after all work queued so far, and beside all work queued before `wait`."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            yield

    def wait(self) -> None:
        """Make all work queued from now on run after the lane's. The host itself does not wait."""
        if self.stream is not None:
            torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)


IN_ORDER = Lane()


@cache
def lane_of(device: torch.device) -> Lane:
    """The one lane of this device. Its small kernels run first whenever both streams have work."""
    return Lane(torch.cuda.Stream(device, priority=-1)) if device.type == "cuda" else IN_ORDER
