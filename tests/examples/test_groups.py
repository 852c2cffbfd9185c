"""How many photos an example is made of."""

from __future__ import annotations

import pytest

from cribo.examples.groups import MOST, Groups, groups


def model(normalise: int | None, pool: int | None) -> dict:
    return {
        "clustering": {} if normalise is None else {"normalise_images": normalise},
        "matching": {} if pool is None else {"pool_images": pool},
    }


@pytest.mark.parametrize(
    ("trained", "asked", "found"),
    [
        (model(32, 32), (4, 200, 118287), Groups(32, 32, 32, 224, True)),
        (model(16, 48), (4, 200, 1000), Groups(16, 48, 48, 208, True)),
        (model(1, 256), (4, 200, 118287), Groups(1, 256, 256, 200, True)),
        (model(32, 32), (40, 200, 1000), Groups(32, 32, 64, 224, True)),
        (model(None, 32), (4, 200, 1000), Groups(1, 32, 32, 200, True)),  # K-means scales no cost
        (model(32, None), (4, 200, 1000), Groups(32, 1, 32, 224, True)),  # no criterion that asks for a pool
        ({"clustering": {}}, (4, 200, 1000), Groups(1, 32, 32, 200, True)),  # trained without neighbours
        (model(32, 32), (4, 200, 70), Groups(32, 32, 32, 32, True)),
    ],
)
def test_photos_fall_into_the_training_s_groups(trained, asked, found):
    assert groups(trained, *asked) == found


@pytest.mark.parametrize(
    ("trained", "asked", "found"),
    [
        (model(16, 16), (2, 6, 14), Groups(7, 7, 7, 7, False)),
        (model(8, 32), (4, 200, 50), Groups(8, 24, 24, 24, False)),
        (model(1024, 1024), (4, 200, 100000), Groups(MOST, MOST, MOST, MOST, False)),
        (model(16, 16), (4, 4, 2), Groups(1, 1, 1, 1, False)),
    ],
)
def test_groups_that_do_not_fit_are_as_large_as_they_can_be_and_that_is_said(trained, asked, found):
    assert groups(trained, *asked) == found


def test_any_number_of_photos_gives_whole_groups_of_queries_and_of_others():
    for available in range(2, 90):
        for normalise, pool in ((1, 1), (4, 6), (16, 32), (33, 5)):
            found = groups(model(normalise, pool), 4, 20, available)
            assert found.queries + found.bank <= available and found.bank > 0 < found.queries
            assert not found.queries % found.normalise and not found.bank % found.normalise
            assert not found.queries % found.pool
            assert found.own == ((found.normalise, found.pool) == (normalise, pool))
