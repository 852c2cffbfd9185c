"""Recipes: valid experiments that say what they are, written without losing the comments of params.yaml."""

import pytest
import yaml

from cribo import recipe


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_is_a_valid_experiment_and_opens_with_what_it_is(name):
    assert yaml.safe_load(recipe.text_of(name))
    assert len(recipe.about(name)[0]) > 20


def test_a_recipe_changes_its_keys_and_keeps_comments_and_everything_else(tmp_path, monkeypatch):
    (tmp_path / "demo.yaml").write_text((recipe.RECIPES / "demo.yaml").read_text())
    (tmp_path / "mine.yaml").write_text("# Mine is a longer sentence than twenty.\npretrain: {clustering: {K: 7}}\n")
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    demo, mine = yaml.safe_load(recipe.text_of("demo")), recipe.text_of("mine")
    demo["pretrain"]["clustering"]["K"] = 7
    assert yaml.safe_load(mine) == demo
    assert "clusters an image" in mine and "[released]" not in mine


def test_named_things_are_replaced_whole_and_groups_are_merged():
    base = {
        "data": {"a": 1},
        "models": {"trained": {"x": {}}, "imported": {"r": {}}},
        "pretrain": {"seed": 0, "head": {"hidden": 1}},
    }
    recipe.overlay(base, {"data": {"b": 2}, "models": {"trained": {"y": {}}}, "pretrain": {"head": {"hidden": 3}}})
    assert base == {
        "data": {"b": 2},
        "models": {"trained": {"y": {}}, "imported": {"r": {}}},
        "pretrain": {"seed": 0, "head": {"hidden": 3}},
    }


def test_an_unknown_recipe_says_what_was_meant():
    with pytest.raises(ValueError, match="did you mean demo"):
        recipe.path_of("demp")


def test_use_writes_params_and_shows_the_difference(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipe, "TARGET", tmp_path / "params.yaml")
    recipe.main(["use", "demo"])
    recipe.main(["use", "voc-mini"])
    shown = capsys.readouterr().out
    assert "+  voc:" in shown and "-  scenes:" in shown
    assert (tmp_path / "params.yaml").read_text() == recipe.text_of("voc-mini")
