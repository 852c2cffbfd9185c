"""A second queue of work: what is queued in it comes after what it reads, and what reads it comes after it."""

import pytest
import torch

from cribo.method.lane import IN_ORDER, Lane, lane_of


class Stream:
    """Notes who waits for whom."""

    device = "cuda"

    def __init__(self, name, notes):
        self.name, self.notes = name, notes

    def wait_stream(self, other):
        self.notes.append(f"{self.name} waits for {other.name}")


def test_on_a_cpu_all_is_done_in_the_order_in_which_it_is_written():
    assert lane_of(torch.device("cpu")) is IN_ORDER
    with IN_ORDER.queue():
        x = torch.ones(3)
    IN_ORDER.wait()
    assert x.sum() == 3


def streams(monkeypatch, notes):
    """Stand-ins of torch's; returns those that are current, the innermost last."""
    current = [Stream("main", notes)]

    class Entered:
        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            current.append(self.stream)

        def __exit__(self, *exception):
            current.pop()

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[-1])
    monkeypatch.setattr(torch.cuda, "stream", Entered)
    return current


def test_the_lane_waits_for_what_was_queued_before_and_what_comes_after_waits_for_the_lane(monkeypatch):
    notes = []
    current = streams(monkeypatch, notes)
    lane = Lane(Stream("lane", notes))
    with lane.queue():
        notes.append(f"in {current[-1].name}")
    notes.append(f"in {current[-1].name}")
    lane.wait()
    assert notes == ["lane waits for main", "in lane", "in main", "main waits for lane"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_numbers_are_those_of_one_queue_though_memory_is_used_again_and_again():
    lane = lane_of(torch.device("cuda", torch.cuda.current_device()))
    torch.manual_seed(0)
    x, total = torch.randn(2048, 2048, device="cuda"), torch.zeros(2048, 2048, device="cuda")
    expected = torch.zeros_like(total)
    for step in range(30):
        expected += (x * (step + 1)).relu().square().sqrt()
    for step in range(30):
        scaled = x * (step + 1)
        with lane.queue():
            found = scaled.relu()
            for _ in range(20):
                found = found.square().sqrt()
        busy = x @ x  # runs beside
        lane.wait()
        total += found
        del scaled, found, busy
    torch.testing.assert_close(total, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_lane_works_while_the_other_queue_is_busy():
    lane, square = lane_of(torch.device("cuda", torch.cuda.current_device())), torch.rand(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    done, later = torch.cuda.Event(), torch.cuda.Event()
    with lane.queue():
        small = torch.ones(8, device="cuda") * 2
        done.record()
    for _ in range(20):  # tens of milliseconds
        square = square @ square * 1e-4
    later.record()
    done.synchronize()
    assert not later.query() and small.sum() == 16
