"""Batches: nothing depends on workers, restarts or the number of processes."""

import dataclasses
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from cribo.data.batches import loader
from cribo.data.batches.loader import Batch, ViewPairs, batches_of, load_batches, normalised, to_device
from cribo.data.prepared.readers import Record
from tests.data.batches.test_views import SETTINGS
from tests.method.test_lane import Stream, streams


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    records = [Record(str(i), folder / f"{i}.png", None, 50, 40) for i in range(10)]
    return ViewPairs(records, {**SETTINGS, "size": 16}, grid=2, K=3, seed=5)


def content(loader):
    return [torch.cat([x.flatten().double() for x in batch]) for batch in loader]


def test_workers_do_not_hear_the_signals_that_the_training_answers(pairs):
    batches = iter(load_batches(pairs, 4, 0, 5, 0, 1, 2))
    first = next(batches)
    for worker in multiprocessing.active_children():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker.pid, number)
    assert len([first, *batches]) == 5


def test_bytes_are_the_same_for_any_number_of_workers(pairs):
    runs = [content(load_batches(pairs, 4, 0, 5, 0, 1, workers)) for workers in (0, 2)]
    assert len(runs[0]) == 5 and all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_starting_in_the_middle_gives_the_rest_of_the_same_batches(pairs):
    whole, rest = content(load_batches(pairs, 4, 0, 6, 0, 1, 0)), content(load_batches(pairs, 4, 3, 6, 0, 1, 0))
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], rest, strict=True))


def test_processes_share_a_batch_in_runs_of_consecutive_places():
    whole = list(batches_of(10, 4, 5, 0, 4, 0, 1))
    shares = [list(batches_of(10, 4, 5, 0, 4, rank, 2)) for rank in range(2)]
    assert all(a + b == w for a, b, w in zip(*shares, whole, strict=True))


def test_an_epoch_visits_every_image_at_most_once_and_epochs_differ():
    keys = list(batches_of(10, 3, 5, 0, 6, 0, 1))
    first = [k for batch in keys[:3] for k in batch]
    assert len(set(first)) == 9 and {epoch for epoch, _ in first} == {0}
    assert [i for _, i in first] != [i for batch in keys[3:] for _, i in batch]


@pytest.mark.parametrize("other", [(5, (1, 0)), (5, (0, 1)), (6, (0, 0))], ids=["epoch", "image", "seed"])
def test_views_clusters_and_local_crops_differ_with_the_epoch_the_image_and_the_seed_and_repeat_for_the_same(pairs, other):
    twice = [pairs.records[0], dataclasses.replace(pairs.records[0], id="the same photo")]
    local = {"size": 8, "count": 3, "blur": 0.5, "crop_area": [0.05, 0.25]}
    views = {**pairs.views, "crop_area": [0.1, 0.5], "local": local}

    def drawn(seed: int, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        item = ViewPairs(twice, views, 8, 20, seed)[key]
        return {name: getattr(item, name) for name in ("views", "boxes", "seeds", "crops")}

    first, again, changed = drawn(5, (0, 0)), drawn(5, (0, 0)), drawn(*other)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], changed[name]) for name in first)
    assert not torch.equal(first["views"][0], first["views"][1])


def test_order_of_images_differs_with_the_seed():
    one, two = (list(batches_of(100, 10, seed, 0, 10, 0, 1)) for seed in (5, 6))
    assert one != two and one == list(batches_of(100, 10, 5, 0, 10, 0, 1))


def test_cluster_seeds_are_distinct_tokens(pairs):
    batch = next(iter(load_batches(pairs, 4, 0, 1, 0, 1, 0)))
    assert all(row.unique().numel() == 3 and row.max() < 8 for row in batch.seeds)


def test_views_reach_the_device_normalised_and_ordered_by_view(pairs):
    batch = next(iter(load_batches(pairs, 4, 0, 1, 0, 1, 0)))
    inputs = to_device(batch, torch.device("cpu"), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    expected = (batch.views[1, 1].float() / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / 0.2
    torch.testing.assert_close(inputs.images[4 + 1], expected)
    assert inputs.boxes.shape == (4, 2, 5) and torch.equal(inputs.image_ids, batch.image_ids)


def test_a_gpu_copies_beside_its_work_which_waits_for_the_copy_and_keeps_its_memory(monkeypatch):
    notes = []
    current = streams(monkeypatch, notes)
    monkeypatch.setattr(loader, "_copies", lambda device: Stream("copies", notes))

    class Noted:
        def to(self, device, non_blocking):
            notes.append(f"copied in {current[-1].name}, {non_blocking}")
            return self

        def record_stream(self, stream):
            notes.append(f"used in {stream.name}")

    loader._sent(Batch(*[Noted()] * 6), torch.device("cuda"))
    assert notes == ["copied in copies, True"] * 6 + ["main waits for copies"] + ["used in main"] * 6


def test_views_and_crops_are_normalised_in_the_form_that_is_asked_for(pairs):
    batch = next(iter(load_batches(pairs, 4, 0, 1, 0, 1, 0)))
    shapes = []

    def form(x, mean, std):
        shapes.append(x.shape)
        return normalised(x, mean, std) + 1

    batch = batch._replace(crops=torch.zeros(4, 3, 3, 8, 8, dtype=torch.uint8))
    found, plain = (to_device(batch, torch.device("cpu"), (0.5,) * 3, (0.2,) * 3, *how) for how in ((form,), ()))
    assert torch.equal(found.images, plain.images + 1) and torch.equal(found.crops, plain.crops + 1)
    assert shapes == [batch.views.shape, (4, 3, 3, 8, 8)] and found.crops.shape == (12, 3, 8, 8)


def test_masks_are_read_for_an_oracle_only_and_change_nothing_else(pairs, tmp_path):
    rng = np.random.default_rng(1)
    for i in range(10):
        Image.fromarray(rng.integers(0, 5, (40, 50), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    known = [dataclasses.replace(r, mask=tmp_path / f"{i}.png") for i, r in enumerate(pairs.records)]
    asked = ViewPairs(known, pairs.views, pairs.grid, pairs.K, pairs.seed, masks=True)
    for a, b in zip(load_batches(pairs, 4, 0, 2, 0, 1, 0), load_batches(asked, 4, 0, 2, 0, 1, 0), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a._replace(classes=a.crops), b._replace(classes=b.crops), strict=True))
        assert a.classes.shape == (4, 0) and b.classes.shape == (4, 8) and b.classes.max() < 5
    gone = [dataclasses.replace(r, mask=tmp_path / "gone.png") for r in pairs.records]
    ViewPairs(gone, pairs.views, pairs.grid, pairs.K, pairs.seed)[0, 0]  # does not look at it


def test_the_classes_of_a_view_lie_where_its_pixels_do(tmp_path):
    """A photo whose gray value is its class: each patch shows, at its centre, the class that it is given."""
    mask = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, 16, 0), 16, 1)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.stack([mask] * 3, -1)).save(tmp_path / "photo.png")
    plain = {**SETTINGS, "size": 80, "jitter": 0.0, "grayscale": 0.0, "blur": [0.0, 0.0], "solarise": [0.0, 0.0]}
    record = Record("0", tmp_path / "photo.png", tmp_path / "mask.png", 64, 48)
    views = ViewPairs([record], plain, 10, 3, 0, masks=True)
    for epoch in range(5):
        item = views[epoch, 0]
        centres = item.views[:, 0].unflatten(1, (10, 8)).unflatten(3, (10, 8))[:, :, 3:5, :, 3:5].float().mean((2, 4))
        right = (centres.flatten() - item.classes.float()).abs() < 8
        assert right.float().mean() > 0.75  # the rest straddles an edge, where the resized photo is smooth
