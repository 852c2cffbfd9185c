"""params.yaml: what is wrong, where, and what was meant, for every mistake at once; no job before that."""

from pathlib import Path

import pytest

from cribo import params

TEXT = Path("recipes/demo.yaml").read_text()


@pytest.fixture
def load(tmp_path):
    """Load the committed file after replacing parts of its text."""

    def with_changes(*changes):
        text = TEXT
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (tmp_path / "params.yaml").write_text(text)
        return params.load(tmp_path / "params.yaml")

    return with_changes


def sentences(load, *changes):
    with pytest.raises(params.ParamsError) as error:
        load(*changes)
    return str(error.value).splitlines()


def line(part):
    return next(i for i, text in enumerate(TEXT.splitlines(), 1) if part in text)


def test_the_committed_file_is_valid_and_says_what_every_key_means():
    params.load("recipes/demo.yaml")
    for number, text in enumerate(TEXT.splitlines(), 1):
        key, _, value = text.partition(":")
        if key.startswith("    ") and value and not value.strip().startswith(("{", "#")) and "kind" not in key:
            assert "#" in value or "datasets" in key, f"line {number} has no comment"


def test_an_unknown_key_is_named_with_its_line_and_what_was_meant(load):
    found = sentences(load, ("lambda_pos:", "lamda_pos:"))
    at = f"params.yaml:{line('lambda_pos')}: pretrain.clustering.lamda_pos: is no parameter"
    assert any(at in s and s.endswith("did you mean lambda_pos?") for s in found)
    assert any("pretrain.clustering.lambda_pos: is missing" in s for s in found)


def test_all_mistakes_are_reported_at_once(load):
    wrong = ("K: 8 ", 'K: "8" '), ("backbone: vit_demo_8  ", "backbone: vit_dmo_8  "), ("ema: 0.99", "ema: 1.5")
    found = sentences(load, *wrong)
    assert len([s for s in found if "models.trained" not in s]) == 3
    assert any("K: should be a valid integer, not '8'" in s for s in found)
    assert any("did you mean vit_demo_8?" in s for s in found)


@pytest.mark.parametrize(("old", "new", "key", "says"), [
    ("K: 8 ", "K: 800 ", "clustering.K", "800 clusters need as many tokens"),
    ("size: 64 ", "size: 8 ", "pretrain.views.size", "greater than or equal to 16"),
    ("batch_size: 64", "batch_size: 60", "clustering.normalise_images", "cannot be split into groups of 32"),
    ("reference: random", "reference: rand", "report.reference", "did you mean random?"),
    ("datasets: [scenes]", "datasets: [scene]", "evaluate.dense_nn.datasets", "did you mean scenes?"),
    ("models: [random, global", "models: [random, globe", "evaluate.models", "did you mean global?"),
    ("cribo: {dataset: scenes,", "cribo: {dataset: szenes,", "models.trained.cribo.dataset", "did you mean scenes?"),
    ("kind: scenes ", "kind: scene ", "data.scenes", "did you mean scenes?"),
    ("crop_area: [0.25, 1.0]", "crop_area: [1.0, 0.25]", "views.crop_area", "must not exceed"),
    ("images: 500", "images: 63", "memory_bank.images", "at least one batch"),
    ("warmup_epochs: 3 ", "warmup_epochs: 99 ", "targets.warmup_epochs", "do not fit"),
    ("    random: {weights", "    ran-dom: {weights", "models.imported.ran-dom", "is no name: letters, digits"),
    ("losses: [global, cross_view, cross_image]   #", "losses: []   #", "pretrain.losses", "at least 1"),
])  # fmt: skip
def test_an_impossible_value_is_one_sentence_with_its_key(load, old, new, key, says):
    found = sentences(load, (old, new))
    assert any(key in s and says in s for s in found), found


def test_a_mistake_in_an_overlay_is_placed_in_the_overlay(load):
    found = sentences(load, ("global: {dataset: scenes,", "global: {dataset: scenes, seeed: 1,"))
    assert len(found) == 1
    assert f":{line('global: {dataset')}: models.trained.global.seeed" in found[0] and "did you mean seed?" in found[0]


@pytest.mark.parametrize(("text", "says"), [
    ("a: [1", "no valid YAML on line"), ("- 1", "must be a mapping"), ("data: {}\ndata: {}", "is given twice")])  # fmt: skip
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, says):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(params.ParamsError, match=says):
        params.load(tmp_path / "p.yaml")


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(params.ParamsError, match=r"cannot be read .*: run from the folder"):
        params.load(tmp_path / "none.yaml")


def test_an_impossible_value_is_reported_once_at_the_key_that_the_file_has(load):
    found = sentences(load, ("K: 8 ", "K: 800 "))
    assert len(found) == 1 and f":{line('K: 8 ')}: pretrain.clustering.K:" in found[0]
    found = sentences(load, ("cribo: {dataset: scenes,", "cribo: {dataset: scenes, clustering: {K: 800},"))
    assert len(found) == 1 and "models.trained.cribo.clustering.K:" in found[0]


def test_an_overlay_changes_its_keys_and_nothing_else(load):
    p = load(("global: {dataset: scenes,", "global: {dataset: scenes, clustering: {K: 12},"))
    assert p.trained["global"].clustering.K == 12
    assert p.trained["global"].clustering.lambda_pos == p.pretrain.clustering.lambda_pos
    assert p.trained["cribo"].clustering.K == p.pretrain.clustering.K


def test_scientific_notation_without_a_point_is_a_number(load):
    assert load(("min_lr: 1.0e-5", "min_lr: 1e-5")).pretrain.optimisation.min_lr == 1e-5
