"""A small encoder of one's own, photos with masks, and settings of seconds."""

from __future__ import annotations

import copy

import pytest

from cribo import params

SIZES = {"train": [(40, 40), (48, 37), (33, 52), (40, 40), (41, 40)], "val": [(40, 48), (61, 35), (20, 120)]}
SMALL = {
    "iterations": 8,
    "batch_size": 4,
    "crop": 32,
    "scale": [128, 40],
    "window": 32,
    "stride": 24,
}


@pytest.fixture
def own_encoder(encoder):
    """The shared encoder, copied: a backbone takes its ViT over."""
    return copy.deepcopy(encoder)


@pytest.fixture(scope="session")
def photos(tmp_path_factory, write_set):
    return write_set(tmp_path_factory.mktemp("segmentation"), SIZES)


@pytest.fixture
def linear_settings():
    return settings_of("linear_segmentation")


@pytest.fixture
def segmenter_settings():
    return settings_of("segmenter")


def settings_of(protocol: str) -> dict:
    """The plan of params.yaml's protocol, made small."""
    block = getattr(params.load("recipes/demo.yaml").evaluate, protocol).model_copy(update={"datasets": {"any": {}}})
    return {**block.on("any").model_dump(mode="json"), **SMALL}


@pytest.fixture
def compute():
    return params.load("recipes/demo.yaml").compute.model_copy(
        update={"workers": 0, "log_steps": 2, "checkpoint_steps": 3, "save_in_background": False}
    )
