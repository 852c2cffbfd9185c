"""A second queue of work on a GPU: what the teacher does, many small kernels, runs beside the student's large ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch


@dataclass(frozen=True)
class Lane:
    """A stream beside the one that is current, or none: then all is done in the order in which it is written.

    Tensors made in the lane may be used outside of it after `wait`, and freed at any time after that, since the lane
    reuses their memory only for work that comes after all that was queued outside before `queue`. Tensors made outside and
    used in the lane must be held until `wait`: before, their memory could be another tensor's while the lane still reads it.
    """

    stream: torch.cuda.Stream | None = None

    @contextmanager
    def queue(self) -> Iterator[None]:
        """Work inside comes after all that was queued so far, and beside all that is queued before `wait`."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            yield

    def wait(self) -> None:
        """What is queued from now on comes after all of the lane's. The host waits for nothing."""
        if self.stream is not None:
            torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)


IN_ORDER = Lane()


@cache
def lane_of(device: torch.device) -> Lane:
    """The one lane of this device. Its small kernels go first wherever both have some to run."""
    return Lane(torch.cuda.Stream(device, priority=-1)) if device.type == "cuda" else IN_ORDER
