"""Pictures of an encoder at work: the same each time, and what examples.json says is what the method does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import cribo.examples.matches as module
from cribo import params, plan
from cribo.examples import objects
from cribo.examples.choice import spread
from cribo.examples.matches import matches
from cribo.examples.pictures import class_colours, lit, palette, tinted
from cribo.examples.run import write_examples
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World
from tests.evaluation.conftest import MEAN, STD, _write_set
from tests.tiny import tiny_vit

WORLD = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(tiny_vit(6), MEAN, STD, "small")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return _write_set(tmp_path_factory.mktemp("photos"), {"train": [(56, 48)] * 14, "val": [(64, 48)] * 4})


@pytest.fixture
def settings():
    tree = plan.plan(params.load("recipes/demo.yaml"))["examples/cribo-scenes"]
    return tree | {"photos": 2, "bank": 6}


def test_the_same_inputs_give_the_same_files_and_all_that_are_named_are_there(encoder, data, settings, tmp_path):
    for name in ("one", "two"):
        write_examples(encoder, data, settings, WORLD, tmp_path / name)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    text = (tmp_path / "one/examples.json").read_text()
    named = {word for word in text.split('"') if word.endswith(".png")}
    assert named == files[0].keys() - {"examples.json"}
    tree = json.loads(text)
    assert len(tree["segmentation"]["photos"]) == len(tree["retrieval"]["photos"]) == len(tree["matches"]["photos"]) == 2


def test_a_photos_own_twin_in_the_bank_is_its_neighbour(encoder, data, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("cribo.examples.matches.spread", lambda records, count: list(records)[:count])
    twins = tuple(data.splits["train"][i % 7] for i in range(14))
    renamed = tuple(type(r)(f"{r.id}-{i}", r.image, r.mask, r.width, r.height) for i, r in enumerate(twins))
    # Each photo is drawn by its place in its list: queries 0-6 and bank 0-6 are then the same views of the same photos.
    twin_set = type(data)(**(vars(data) | {"splits": {"train": renamed, "val": ()}}))
    found = matches(encoder, twin_set, settings | {"bank": 7}, tmp_path)
    for i, photo in enumerate(found["photos"]):
        assert photo["pairs"] and all(pair["id"] == f"train{i}-{i + 7}" for pair in photo["pairs"])
        assert all(pair["cosine"] == pytest.approx(1, abs=1e-3) for pair in photo["pairs"])
        assert photo["accepted"] == photo["objects"]


def with_groups(settings, normalise, pool, criterion="cycle"):
    model = settings["model"]
    clustering = model["clustering"] | {"normalise_images": normalise}
    matching = model["matching"] | {"pool_images": pool, "criterion": criterion}
    return settings | {"model": model | {"clustering": clustering, "matching": matching}}


def test_clusters_and_criterion_see_photos_in_the_groups_of_the_training(encoder, data, settings, tmp_path, monkeypatch):
    seen, pools = [], []
    cluster, criterion = objects.joint_space_clustering, module.accept

    def spy(tokens, positions, seeds, how):
        seen.append((len(tokens) % how.normalise_images, how.normalise_images))
        return cluster(tokens, positions, seeds, how)

    monkeypatch.setattr(objects, "joint_space_clustering", spy)
    monkeypatch.setattr(module, "accept", lambda *args: pools.append(args[5]) or criterion(*args))
    found = matches(encoder, data, with_groups(settings, 3, 6), tmp_path)
    assert set(seen) == {(0, 3)} and pools == [6]
    assert (found["group"], found["pool"], found["queries"], found["bank"]) == (3, 6, 6, 6) and found["own_groups"]
    assert not matches(encoder, data, with_groups(settings, 16, 16), tmp_path)["own_groups"]


def test_the_share_of_matches_is_of_objects_and_not_of_dead_clusters(encoder, data, settings, tmp_path):
    found = matches(encoder, data, with_groups(settings, 2, 2, "none") | {"photos": 6}, tmp_path)
    assert any(photo["objects"] < found["K"] for photo in found["photos"])
    assert found["ratio"] == 1 and all(photo["accepted"] == photo["objects"] for photo in found["photos"])


def test_a_model_without_objects_has_no_matches_and_photos_without_masks_no_segmentation(encoder, data, settings, tmp_path):
    bare = {
        split: tuple(type(r)(r.id, r.image, None, r.width, r.height) for r in rows) for split, rows in data.splits.items()
    }
    unlabelled = type(data)(**(vars(data) | {"splits": bare}))
    tree = write_examples(encoder, unlabelled, settings | {"model": None}, WORLD, tmp_path / "out")
    assert tree["matches"] is None and tree["segmentation"] is None and tree["retrieval"] is not None


def test_photos_are_spread_over_the_split():
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8] and spread(list(range(3)), 5) == [0, 1, 2]


def test_regions_are_coloured_and_the_rest_is_left():
    image, labels = np.full((4, 4, 3), 100, np.uint8), np.array([[0, -1], [1, -1]])
    mixed = tinted(image, labels, np.array([[200, 0, 0], [0, 0, 200]], np.uint8))
    assert (mixed[:2, :2] == [150, 50, 50]).all() and (mixed[2:, :2] == [50, 50, 150]).all() and (mixed[:, 2:] == 100).all()
    shown = lit(image, labels == 0, np.array([1, 2, 3], np.uint8))
    assert (shown[:2, :2] == [1, 2, 3]).all() and (shown[2:] > 150).all()  # a region of 2 × 2 px is all border


def test_colours_of_regions_and_classes_are_distinct():
    assert len({tuple(colour) for colour in palette(64)}) == 64
    colours = class_colours(21)
    assert len({tuple(colour) for colour in colours[:21]}) == 21 and tuple(colours[255]) == (255, 255, 255)
    assert Image.fromarray(colours[None]).size == (256, 1)
