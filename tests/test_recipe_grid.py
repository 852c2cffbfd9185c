"""A grid is every combination of its values, each once, and nothing else of the recipe changes."""

import pytest

from cribo.recipe_grid import expand

GRID = {
    "name": "K{clustering.K}_{seed}",
    "row": "K = {clustering.K}",
    "base": {"dataset": "scenes", "clustering": {"lambda_pos": 2.0}},
    "values": {"clustering.K": [4, 8], "seed": [0, 1]},
}


def test_a_grid_is_every_combination_over_its_base():
    out = expand({"grids": [GRID], "evaluate": {"models": ["random"], "dense_nn": {"k": 5}}, "report": {"title": "t"}})
    assert list(out["models"]["trained"]) == ["K4_0", "K4_1", "K8_0", "K8_1"]
    assert out["models"]["trained"]["K8_1"] == {
        "dataset": "scenes",
        "clustering": {"lambda_pos": 2.0, "K": 8},
        "seed": 1,
        "row": "K = 8",
    }
    assert out["evaluate"] == {"models": ["random", "K4_0", "K4_1", "K8_0", "K8_1"], "dense_nn": {"k": 5}}
    assert out["report"] == {"title": "t"} and "grids" not in out
    assert GRID["base"] == {"dataset": "scenes", "clustering": {"lambda_pos": 2.0}}


def test_where_two_sweeps_cross_the_model_is_trained_once():
    other = GRID | {"base": {"dataset": "scenes", "clustering": {"K": 4}}, "values": {"clustering.lambda_pos": [1.0, 2.0]}}
    name = "K{clustering.K}_lambda{clustering.lambda_pos}"
    out = expand({"grids": [GRID | {"name": name, "values": {"clustering.K": [4, 8]}}, other | {"name": name}]})
    assert list(out["models"]["trained"]) == ["K4_lambda2.0", "K8_lambda2.0", "K4_lambda1.0"]


def test_a_list_in_a_name_is_joined_and_a_recipe_without_grids_is_left_as_it_is():
    grid = {"name": "{losses}", "base": {"dataset": "scenes"}, "values": {"losses": [["global"], ["global", "cross_view"]]}}
    assert list(expand({"grids": [grid]})["models"]["trained"]) == ["global", "global_cross_view"]
    assert expand({"pretrain": {"seed": 1}}) == {"pretrain": {"seed": 1}}


@pytest.mark.parametrize(
    ("grids", "sentence"),
    [
        ([GRID | {"name": "K{clustering.K}"}], "two different models are called K4"),
        ([GRID | {"name": "{matching.pool}"}], "speaks of matching.pool"),
        ([GRID | {"valeus": {}}], "valeus is unknown or missing"),
        ([{"name": "a", "base": {}}], "values is unknown or missing"),
        (3, "grids should be a list, not 3"),
        ([3], "grid 1: should be a group of keys"),
        ([GRID | {"values": {"seed": 3}}], r"grid 1: values\.seed should be a list, not 3"),
        ([GRID | {"base": None}], "grid 1: base should be a group of keys, not None"),
        ([GRID | {"name": 3}], "grid 1: name should be text, not 3"),
    ],
)
def test_a_grid_that_cannot_be_written_out_is_one_sentence(grids, sentence):
    with pytest.raises(ValueError, match=sentence):
        expand({"grids": grids})


def test_a_model_that_is_named_and_in_a_grid_is_refused():
    with pytest.raises(ValueError, match=r"K4_0 is in models\.trained and in a grid"):
        expand({"grids": [GRID], "models": {"trained": {"K4_0": {"dataset": "scenes"}}}})
