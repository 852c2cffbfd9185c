"""Recipes: valid experiments that say what they are, written without losing the comments of params.yaml."""

from pathlib import Path

import pytest
import yaml

from cribo import params, recipe
from cribo.report.paper import values as paper

# Released argument files of the paper's models (ViT-S/8: none; Table 2 and A.1) and its §A.1, each value stated once more.
PAPER = {
    "paper-vits16-coco": ("vit_small_16", 300, 256, 5e-4, 1e-5, 64, 2.0, 32, False, 1, 0.0, 30),
    "paper-vits8-coco": ("vit_small_8", 300, 256, 5e-4, 1e-5, 64, 2.0, 32, False, 1, 0.0, 30),
    "paper-vits16-in1k": ("vit_small_16", 800, 1024, 5e-4, 1e-5, 32, 1.0, 128, False, 1, 0.0, 30),
    "paper-vitb16-in1k": ("vit_base_16", 400, 1024, 7.5e-4, 2e-6, 32, 1.0, 64, True, 3, 0.3, 50),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_models_have_the_released_hyper_parameters(name):
    p = params.parse(recipe.text_of(name), Path(name)).model("cribo")
    o, c, head, aim = p.optimisation, p.clustering, p.head, p.targets
    stated = (p.backbone, o.epochs, o.batch_size, o.base_lr, o.min_lr, c.K, c.lambda_pos, c.normalise_images)
    assert (*stated, head.norm_last_layer, head.freeze_epochs, o.clip_norm, aim.warmup_epochs) == PAPER[name]
    assert p.matching.pool_images == c.normalise_images and p.memory_bank.images == 25_000
    assert (head.hidden, head.bottleneck, head.prototypes) == (2048, 256, 65_536)
    assert (o.warmup_epochs, o.weight_decay, o.ema, p.drop_path, p.seed) == (10, (0.04, 0.4), (0.996, 1.0), 0.1, 0)
    assert (aim.student_temperature, aim.teacher_temperature, aim.centre_momentum) == (0.1, (0.04, 0.07), 0.9)
    assert (c.sharpness, c.outer_iterations, c.sinkhorn_iterations) == (20, 5, 5)
    assert (c.marginals, c.exclude_self) == ("histogram", True)
    assert (p.matching.criterion, p.matching.first_epoch, len(p.losses)) == ("cycle", 1, 3)
    v = p.views
    assert (v.size, v.crop_area, v.jitter, v.brightness, v.contrast) == (224, (0.25, 1.0), 0.8, 0.4, 0.4)
    assert (v.saturation, v.hue, v.grayscale, v.blur, v.solarise) == (0.2, 0.1, 0.2, (1.0, 0.1), (0.0, 0.2))
    assert (v.blur_radius, v.flip, v.crop_aspect) == ((0.1, 2.0), 0.5, (0.75, 1.3333))


def test_what_the_paper_leaves_open_for_vit_s8_is_marked_as_ours():
    lines = recipe.path_of("paper-vits8-coco").read_text().splitlines()
    marked = {line.split(":")[0].strip() for line in lines if line.endswith("[ours]")}
    assert marked == {"K", "lambda_pos", "normalise_images", "memory_bank", "matching"}


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_is_a_valid_experiment_and_opens_with_what_it_is(name):
    assert yaml.safe_load(recipe.text_of(name))
    assert len(recipe.about(name)) > 20


def test_a_recipe_changes_its_keys_and_keeps_comments_and_everything_else(tmp_path, monkeypatch):
    (tmp_path / "demo.yaml").write_text((recipe.RECIPES / "demo.yaml").read_text())
    (tmp_path / "mine.yaml").write_text("# Mine is a longer sentence than twenty.\npretrain: {clustering: {K: 7}}\n")
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    demo, mine = yaml.safe_load(recipe.text_of("demo")), recipe.text_of("mine")
    demo["pretrain"]["clustering"]["K"] = 7
    assert yaml.safe_load(mine) == demo
    assert "clusters per image" in mine and "[released]" not in mine


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


def test_a_recipe_may_start_from_another_one(tmp_path, monkeypatch):
    (tmp_path / "demo.yaml").write_text((recipe.RECIPES / "demo.yaml").read_text())
    (tmp_path / "mine.yaml").write_text("pretrain: {clustering: {K: 7, lambda_pos: 1.0}, seed: 3}\n")
    (tmp_path / "yours.yaml").write_text("extends: mine\npretrain: {clustering: {K: 9}}\n")
    (tmp_path / "circle.yaml").write_text("extends: circle\n")
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    pretrain = yaml.safe_load(recipe.text_of("yours"))["pretrain"]
    assert (pretrain["clustering"]["K"], pretrain["clustering"]["lambda_pos"], pretrain["seed"]) == (9, 1.0, 3)
    with pytest.raises(ValueError, match="extends itself: circle -> circle"):
        recipe.text_of("circle")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes recipes/mine.yaml beside the demo, in a folder of its own."""
    demo = (recipe.RECIPES / "demo.yaml").read_text()
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/demo.yaml").write_text(demo)
    return Path("recipes/mine.yaml").write_text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [\n", r"recipes/mine.yaml:2: is not valid YAML here or just above"),
        ("grids: 3", r"recipes/mine.yaml: grids should be a list, not 3"),
        (
            "pretrain: {clustering: {K: 0}}",
            r"recipes/mine.yaml: pretrain.clustering.K: should be greater than or equal to 2",
        ),
        (
            "models: {trained: {a: {dataset: scenes}}}\nevaluate: {models: [a]}",
            r"recipes/mine.yaml: report.reference: random is not evaluated \(recipes/demo.yaml says so: set it here\)",
        ),
        ("extends: demp", r"no recipe demp in recipes/ \(demo, mine\); did you mean demo\?"),
        ("extends: ../recipes/demo", r"no recipe \.\./recipes/demo in recipes/ \(demo, mine\)"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_sentence_with_its_file_and_key(own, text, sentence):
    own(text)
    with pytest.raises(ValueError, match=f"^{sentence}"):
        recipe.main(["use", "mine"])
    assert not Path("params.yaml").exists()


def test_a_mistake_in_the_demo_is_said_with_its_line(own):
    demo = Path("recipes/demo.yaml").read_text()
    line = next(n for n, text in enumerate(demo.splitlines(), 1) if text.startswith("    lambda_pos:"))
    Path("recipes/demo.yaml").write_text(demo.replace("    lambda_pos: 0.25", "    lambda_pos: -1", 1))
    with pytest.raises(params.ParamsError, match=f"^recipes/demo.yaml:{line}: pretrain.clustering.lambda_pos"):
        recipe.text_of("demo")


def test_the_recipe_that_the_documentation_shows_is_valid_as_it_stands(monkeypatch, tmp_path):
    example = Path("docs/usage.md").read_text().split("```yaml\n# λ_pos", 1)[1].split("```", 1)[0]
    for name in ("demo", "paper-vits16-coco"):
        (tmp_path / f"{name}.yaml").write_text(recipe.path_of(name).read_text())
    (tmp_path / "mine.yaml").write_text(f"# λ_pos{example}")
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    assert len(yaml.safe_load(recipe.text_of("mine"))["models"]["trained"]) == 6


def test_the_list_shows_the_first_sentence_whole_and_says_where_there_is_none(own, capsys):
    own("# The losses of Eq. 11 on\n# 3.5 photos. Expected: nothing.\npretrain: {seed: 1}\n")
    recipe.main(["list"])
    assert capsys.readouterr().out.splitlines()[1] == "mine  The losses of Eq. 11 on 3.5 photos."
    own("pretrain: {seed: 1}\n")
    recipe.main(["list"])
    assert capsys.readouterr().out.splitlines()[1] == "mine  (no comment says what it is)"


@pytest.mark.parametrize("arguments", [["list"], ["use", "demo"], ["show", "demo"]])
def test_from_another_folder_a_sentence_says_where_to_run_it(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="run it from the folder that holds recipes/"):
        recipe.main(arguments)


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


def test_diff_names_each_value_that_is_not_the_recipes_and_its_value_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipe, "TARGET", tmp_path / "params.yaml")
    text = recipe.text_of("tiny")
    assert "lambda_pos: 0.25" in text
    recipe.TARGET.write_text(text.replace("lambda_pos: 0.25", "lambda_pos: 1.0"))
    recipe.main(["diff", "tiny"])
    said = capsys.readouterr()
    assert said.out == "pretrain.clustering.lambda_pos: 1.0 (tiny: 0.25)\n" and said.err.endswith("or not at all: 1\n")
    recipe.main(["diff", "voc-mini"])
    said = capsys.readouterr().out
    assert 'data.voc.kind: not there (voc-mini: "voc")' in said and "data.scenes.size: 64 (voc-mini: not there)" in said


def test_use_keeps_a_params_file_with_edits_and_no_other(tmp_path, monkeypatch, capsys):
    (tmp_path / "recipes").symlink_to(Path("recipes").absolute())
    monkeypatch.chdir(tmp_path)
    for name in ("demo", "voc-mini", "demo"):
        recipe.main(["use", name])
    assert not recipe.KEPT.exists() and not capsys.readouterr().err
    edited = recipe.TARGET.read_text().replace("k: 50 ", "k: 7 ")
    assert edited != recipe.text_of("demo")
    recipe.TARGET.write_text(edited)
    recipe.main(["use", "voc-mini"])
    assert recipe.KEPT.read_text() == edited and "params.yaml.before" in capsys.readouterr().err
    recipe.main(["use", "demo"])  # the recipe's own file does not take the place of the edits
    assert recipe.KEPT.read_text() == edited


def test_table_1_has_the_papers_rows_with_its_values_and_what_has_not_run_is_said():
    from cribo import plan
    from cribo.report.tables.dense_nn import dense_nn_table
    from cribo.report.tables.table import NONE, NOT_RUN, Number

    planned = plan.plan(params.parse(recipe.text_of("table1"), Path("table1")))
    settings = planned["report"]
    trained = {name.removeprefix("pretrain/"): own for name, own in planned.items() if name.startswith("pretrain/")}
    table = dense_nn_table(settings, trained, {})
    printed = [n for n, column in enumerate(table.columns) if column.kind == "printed"]
    ours = [n for n, column in enumerate(table.columns) if column.kind == "measured"]
    rows = {row.label: row.cells for row in table.rows}
    assert all(rows[label][n] == NOT_RUN for label in rows for n in ours)
    assert all(rows["untrained, ViT-S/16"][n] == NONE for n in printed)
    systems = [label for label in rows if not label.startswith("untrained")]
    own = {tuple(getattr(rows[label][n], "value", None) for n in printed) for label in systems}
    by_system = {}
    for cell in paper.cells():
        if cell.setting == "dense_nn" and cell.method != "Hummingbird":  # whose weights were not published
            system = cell.method, cell.backbone, cell.pretrain_dataset
            by_system.setdefault(system, {})[cell.eval_dataset, cell.factor["subsample"]] = float(cell.value)
    places = [(data, f"1/{factor}") for data in ("Pascal VOC", "ADE20K") for factor in (128, 64, 8, 1)]
    assert own == {tuple(map(values.get, places)) for values in by_system.values()}
    assert all(isinstance(rows[label][n], Number) for label in rows if "trained here" in label for n in printed)


def judged_for(cell, models, report):
    """Models of ours that are set up as a printed value's, and judged by its protocol on its data."""
    from cribo.report.tables.counterparts import EVALUATION_SETS, SEGMENTATION, is_counterpart

    by_task = {"detection": "yolos", "image_knn": "knn"}
    protocol = SEGMENTATION.get(cell.setting, [by_task.get(cell.factor.get("task", cell.setting), "dense_nn")])[0]
    judged, datasets = report[protocol]["models"], report[protocol]["datasets"]
    return [n for n in judged if is_counterpart(models[n], cell)] if EVALUATION_SETS[cell.eval_dataset] in datasets else []


def measured(name):
    """(printed value, models of a recipe that are judged for it) for each value of the tables that it asks for."""
    from cribo import plan
    from cribo.report.tables.counterparts import model_of

    files = plan.plan(params.parse(recipe.text_of(name), Path(name)))
    report = files["report"]
    models = {model: model_of(row, files.get(f"pretrain/{model}")) for model, row in report["models"].items()}
    cells = [c for c in paper.cells() if c.table in report["tables"] and c.table not in (9, 10)]
    return [(cell, judged_for(cell, models, report)) for cell in cells]


@pytest.mark.parametrize("name", ["paper", "paper-table4", "paper-table5", "paper-table8", "paper-table11", "paper-table12"])
def test_the_tables_that_a_recipe_of_the_paper_rebuilds_miss_no_value(name):
    cells = measured(name)
    assert cells and {c.method for c, judged in cells if not judged} <= {"Hummingbird"}  # whose weights were not published


@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_of_one_model_of_the_paper_judges_it_for_its_whole_row_of_the_table_and_for_nothing_else(name):
    p = params.parse(recipe.text_of(name), Path(name))
    model = p.model("cribo")
    about = paper.BACKBONES[model.backbone], paper.PRETRAINING[model.dataset], str(model.optimisation.epochs)
    own = [
        (cell, judged)
        for cell, judged in measured(name)
        if cell.method == "CrIBo" and (cell.backbone, cell.pretrain_dataset, cell.epochs) == about
    ]
    assert len(own) == {"dense_nn": 8, "linear": 4}[own[0][0].setting] and all(judged == ["cribo"] for _, judged in own)
    assert bool(p.evaluate.dense_nn.datasets) == (own[0][0].setting == "dense_nn")
