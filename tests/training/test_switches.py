"""Every switch of the method, from params.yaml to the weights; oracles on data sets with and without masks."""

import dataclasses

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from cribo import params, plan
from cribo.data.prepared.manifest import DataError
from cribo.params import merged
from cribo.training.engine.distributed import World
from cribo.training.loop import train
from cribo.training.run import check_masks
from tests.training.conftest import SMALL

ALONE = World(0, 1, torch.device("cpu"))
# A bank of more images than an epoch has, so that an image meets its own earlier objects, and noise that finds them.
LONG = {"memory_bank": {"images": 64}}


def planned(*changes):
    """The plan of the demo's cribo, made small, with these overlays."""
    experiment = params.load("recipes/demo.yaml")
    row = experiment.models.trained["cribo"]
    for change in (SMALL, LONG, *changes):
        row = merged(row, change)
    experiment.models.trained["cribo"] = row
    return plan.pretrain_settings(experiment.model("cribo"))


@pytest.fixture(scope="module")
def masked(photos, tmp_path_factory):
    """The noise photos with noise masks of three classes and void."""
    folder, rng, records = tmp_path_factory.mktemp("masks"), np.random.default_rng(0), []
    for record in photos.splits["train"]:
        coarse = Image.fromarray(np.array([0, 1, 2, 255], np.uint8)[rng.integers(0, 4, (3, 3))])
        coarse.resize((40, 40), Image.Resampling.NEAREST).save(folder / f"{record.id}.png")
        records.append(dataclasses.replace(record, mask=folder / f"{record.id}.png"))
    return dataclasses.replace(photos, classes=("ground", "thing", "stuff"), splits={"train": tuple(records), "val": ()})


def weights(settings, data, compute, folder):
    folder.mkdir()
    check_masks(settings, data)
    state = train(settings, list(data.splits["train"]), folder, compute, ALONE)
    return torch.cat([p.flatten() for p in state.teacher.parameters()])


@pytest.fixture(scope="module")
def reference(masked, tmp_path_factory):
    compute = params.load("recipes/demo.yaml").compute.model_copy(update={"workers": 0, "checkpoint_steps": 100})
    return weights(planned(), masked, compute, tmp_path_factory.mktemp("reference") / "run")


SWITCHES = [
    {"clustering": {"algorithm": "kmeans"}},
    {"clustering": {"algorithm": "kmeans", "outer_iterations": 1}},
    {"clustering": {"algorithm": "labels"}},
    {"clustering": {"algorithm": "labels"}, "matching": {"criterion": "labels"}},
    {"memory_bank": {"exclude_same_image": True}},
    {"matching": {"criterion": "labels"}},
    {"matching": {"criterion": "none"}},
    {"targets": {"directions": "sum"}},
    {"targets": {"mean_images": 1}},
    {"targets": {"centre_momentum": 1.0}},
    {"fidelity": "paper"},
]


@pytest.mark.parametrize("change", SWITCHES, ids=lambda c: yaml.safe_dump(c, default_flow_style=True).strip())
def test_every_switch_of_the_method_changes_the_weights(change, masked, compute, reference, tmp_path):
    assert not torch.equal(weights(planned(change), masked, compute, tmp_path / "run"), reference)


def test_an_oracle_on_photos_without_masks_is_refused_in_one_sentence(photos):
    for change in ({"clustering": {"algorithm": "labels"}}, {"matching": {"criterion": "labels"}}):
        with pytest.raises(DataError, match=r"26 of 26 training images of noise have no mask.*choose another value") as e:
            check_masks(planned(change), photos)
        assert len(str(e.value).splitlines()) == 1
    check_masks(planned(), photos)  # nobody asks for them


def test_more_classes_than_clusters_are_refused_with_the_number_to_set(masked):
    with pytest.raises(DataError, match=r"noise has 3 classes .* raise clustering.K from 2 to 3"):
        check_masks(planned({"clustering": {"algorithm": "labels", "K": 2}}), masked)


def test_parameters_that_the_chosen_algorithm_or_criterion_does_not_read_are_not_in_the_plan():
    assert set(planned({"clustering": {"algorithm": "kmeans"}})["clustering"]) == {"algorithm", "K", "outer_iterations"}
    assert set(planned({"clustering": {"algorithm": "labels"}})["clustering"]) == {"algorithm", "K"}
    assert "pool_images" not in planned({"matching": {"criterion": "none"}})["matching"]
    assert "mean_images" not in planned({"losses": ["global"]})["targets"]
