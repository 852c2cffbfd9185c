"""The plan: each stage sees exactly the keys that it reads, so DVC recomputes exactly what an edit affects."""

from pathlib import Path

import pytest
import yaml

from cribo import params, plan

TEXT = Path("recipes/demo.yaml").read_text()


def changed_files(tmp_path, old, new):
    assert old in TEXT
    (tmp_path / "params.yaml").write_text(TEXT.replace(old, new))
    before, after = plan.plan(params.load("recipes/demo.yaml")), plan.plan(params.load(tmp_path / "params.yaml"))
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.parametrize(("old", "new", "files"), [
    ("lambda_pos: 1.0", "lambda_pos: 4.0", {"pretrain/cross_view", "pretrain/cribo"}),
    ("images: 500", "images: 600", {"pretrain/cribo"}),
    ("criterion: cycle", "criterion: none", {"pretrain/cribo"}),
    ("blur: [1.0, 0.1]", "blur: [0.5, 0.1]", {"pretrain/global", "pretrain/cross_view", "pretrain/cribo"}),
    ("k: 50", "k: 20", {"dense_nn/scenes"}),
    ("val: 120", "val: 60", {"data/scenes"}),
    ("workers: 1", "workers: 3", set()),
    ("reference: random", "reference: global", {"report"}),
    ("  imported:", "    more: {dataset: scenes, seed: 7}\n  imported:", {"pretrain/more"}),
])  # fmt: skip
def test_an_edit_touches_only_the_stages_that_read_the_key(tmp_path, old, new, files):
    assert changed_files(tmp_path, old, new) == files


def test_the_plan_is_written_and_read_back(tmp_path):
    p = params.load("recipes/demo.yaml")
    written = plan.write(p, tmp_path)
    assert {str(f.relative_to(tmp_path).with_suffix("")) for f in written} == set(plan.plan(p))
    for name, settings in plan.plan(p).items():
        assert plan.read(name, tmp_path) == yaml.safe_load(yaml.safe_dump(settings))


def test_a_plan_that_was_not_made_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="dvc repro plan"):
        plan.read("pretrain/cribo", tmp_path)


def test_paths_and_compute_never_enter_the_plan_of_a_later_stage():
    text = yaml.safe_dump(
        {k: v for k, v in plan.plan(params.load("recipes/demo.yaml")).items() if not k.startswith("data/")}
    )
    assert all(word not in text for word in ("workers", "threads", "checkpoint_steps", " path:"))
