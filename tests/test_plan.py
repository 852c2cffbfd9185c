"""The plan: each stage sees exactly the keys that it reads, so DVC recomputes exactly what an edit affects."""

from pathlib import Path

import pytest
import yaml

from cribo import params, plan
from cribo.model.architectures import BACKBONES, BackboneSpec
from tests.edits import DEMO, edited, judging

LOSSES = ["global", "cross_view", "cross_image"]


def changed_files(text):
    before, after = (plan.plan(params.parse(t, Path("params.yaml"))) for t in (DEMO, text))
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.parametrize(
    ("key", "value", "files"),
    [
        ("pretrain.clustering.lambda_pos", "9.0", {"pretrain/cross_view", "pretrain/cribo", "examples/cribo-scenes"}),
        ("pretrain.memory_bank.images", "777", {"pretrain/cribo"}),
        ("pretrain.matching.criterion", "none", {"pretrain/cribo", "examples/cribo-scenes"}),
        (
            "pretrain.views.blur",
            "[0.5, 0.3]",
            {"pretrain/global", "pretrain/cross_view", "pretrain/cribo", "examples/cribo-scenes"},
        ),
        ("models.imported.random", "{weights: random, backbone: vit_demo_8, image_size: 48, seed: 9}", {"import/random"}),
        ("evaluate.dense_nn.k", "21", {"dense_nn/scenes", "examples/cribo-scenes"}),
        ("evaluate.knn.crop", "40", {"examples/cribo-scenes"}),
        ("compute.feature_memory_gb", "1.5", set()),
        ("pretrain.mae.mask", "0.5", set()),
        ("pretrain.optimisation.beta2", "0.95", {"pretrain/global", "pretrain/cross_view", "pretrain/cribo"}),
        ("data.scenes.val", "61", {"data/scenes"}),
        ("compute.workers", "3", set()),
        ("report.reference", "global", {"report"}),
        ("report.tables", "[5]", {"report"}),
        ("report.tolerance", "2.0", {"report"}),
        ("report.examples.photos", "2", {"examples/cribo-scenes"}),
        ("report.examples.bank", "50", {"examples/cribo-scenes"}),
        ("report.examples.models", "[random]", {"examples/cribo-scenes", "examples/random-scenes", "report"}),
        ("report.examples.datasets", "[]", {"examples/cribo-scenes", "report"}),
    ],
)
def test_an_edit_touches_only_the_stages_that_read_the_key(key, value, files):
    assert changed_files(edited(key, value)) == files


@pytest.mark.parametrize("protocol", ["hummingbird", "knn", "yolos"])
def test_a_protocol_is_planned_for_its_data_sets_and_reported_for_its_models_alone(protocol):
    text = judging(protocol, "[scenes]")
    assert changed_files(text) == {f"{protocol}/scenes", "report"}
    files = plan.plan(params.parse(text, Path("params.yaml")))
    assert "models" not in files[f"{protocol}/scenes"]
    assert files["report"][protocol] == {"models": ["random", "cribo"], "datasets": ["scenes"]}
    assert files["report"]["dense_nn"]["models"] == ["random", "global", "cross_view", "cribo"]


SCENES = judging("segmenter", "{scenes: {crop: 96, window: 96, stride: 96}}")
SCENES = judging("linear_segmentation", "{scenes: {crop: 96, window: 96, stride: 96}}", SCENES)


@pytest.mark.parametrize(
    ("key", "value", "files"),
    [
        ("evaluate.linear_segmentation.iterations", "7", {"linear_segmentation/scenes"}),
        ("evaluate.segmenter.decoder_layers", "7", {"segmenter/scenes"}),
        ("evaluate.linear_segmentation.learning_rates", "[0.5]", {"report"}),
        ("evaluate.segmenter.models", "[random]", {"report"}),
        ("evaluate.segmenter.crop", "64", set()),  # the data set has its own
    ],
)
def test_an_edit_of_a_segmentation_protocol_touches_that_protocol(key, value, files):
    before, after = (plan.plan(params.parse(t, Path("params.yaml"))) for t in (SCENES, edited(key, value, SCENES)))
    assert {name for name in before if before[name] != after[name]} == files and before.keys() == after.keys()


SHARED = {"seed", "backbone", "losses", "views", "optimisation", "dataset"}
DINO = SHARED | {"drop_path", "head", "targets"}


@pytest.mark.parametrize(
    ("losses", "groups"),
    [
        ("[pixels]", SHARED | {"mae"}),
        ("[global]", DINO),
        ("[cross_view]", DINO | {"clustering"}),
        ("[cross_image]", DINO | {"clustering", "memory_bank", "matching"}),
    ],
)
def test_a_model_reads_the_groups_that_its_losses_need_and_no_other(losses, groups):
    text = edited("models.trained.cribo", f"{{dataset: scenes, losses: {losses}}}")
    assert plan.plan(params.parse(text, Path("params.yaml")))["pretrain/cribo"].keys() == groups


def test_a_backbone_is_part_of_what_its_models_read_and_of_nothing_else(monkeypatch):
    before = plan.plan(params.parse(DEMO, Path("params.yaml")))
    monkeypatch.setitem(BACKBONES, "vit_new_16", BackboneSpec("vit_new_16", "vit_tiny_patch16_224", 16))
    assert plan.plan(params.parse(DEMO, Path("params.yaml"))) == before
    deeper = BackboneSpec("vit_demo_8", "vit_tiny_patch16_224", 8, BACKBONES["vit_demo_8"].args | {"depth": 4})
    monkeypatch.setitem(BACKBONES, "vit_demo_8", deeper)
    after = plan.plan(params.parse(DEMO, Path("params.yaml")))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if name.startswith(("pretrain/", "import/"))} and len(changed) > 3


def test_a_tuple_among_a_backbones_arguments_is_a_list_in_the_plan(tmp_path, monkeypatch):
    spec = BackboneSpec("vit_demo_8", "vit_tiny_patch16_224", 8, BACKBONES["vit_demo_8"].args | {"img_size": (32, 48)})
    monkeypatch.setitem(BACKBONES, "vit_demo_8", spec)
    plan.write(params.parse(DEMO, Path("params.yaml")), tmp_path)
    assert plan.read("pretrain/cribo", tmp_path)["backbone"]["args"]["img_size"] == [32, 48]


def test_one_more_model_is_one_more_cell():
    assert changed_files(DEMO.replace("  imported:", "    more: {dataset: scenes, seed: 7}\n  imported:")) == {
        "pretrain/more"
    }


def test_a_name_of_the_catalogue_is_one_line_and_knows_its_row():
    text = DEMO.replace("  imported:", "  imported:\n    theirs: {weights: slotcon_r50_coco, stride: 16}")
    text = text.replace("models: [random,", "models: [random, theirs,")
    assert changed_files(text) == {"import/theirs", "report"}
    row = plan.plan(params.parse(text, Path("params.yaml")))["report"]["models"]["theirs"]
    assert (row["row"], row["method"], row["backbone"]) == ("SlotCon, ResNet-50, COCO", "SlotCon", "ResNet-50")


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (
            "{weights: cribo_vits16_coco}",
            {"row": "CrIBo, ViT-S/16, COCO", "dataset": "COCO", "epochs": "300", "method": "CrIBo", "losses": LOSSES},
        ),
        (
            "{weights: dino_vits16_in1k, row: theirs}",
            {"row": "theirs", "backbone": "ViT-S/16", "dataset": "IN1K", "method": "DINO", "losses": []},
        ),
        (
            "{weights: a/b.pth, format: timm, backbone: resnet50, row: mine}",
            {"row": "mine", "backbone": "resnet50", "dataset": None, "epochs": 0, "losses": [], "method": None},
        ),
        ("{weights: dinov2_vits14}", {"row": "x, vit_small_patch14_dinov2", "method": None, "dataset": None}),
        ("{weights: resnet50.a1_in1k}", {"row": "x", "backbone": None, "losses": []}),
    ],
)
def test_a_row_of_weights_from_elsewhere_is_called_as_said_or_as_the_paper_calls_them(line, row):
    text = DEMO.replace("  imported:", f"  imported:\n    x: {line}").replace("models: [random,", "models: [random, x,")
    found = plan.plan(params.parse(text, Path("params.yaml")))["report"]["models"]
    assert {key: found["x"][key] for key in row} == row


@pytest.mark.parametrize(("said", "row"), [("", "cribo"), (", row: mine, method: DINO, losses: [global]", "mine")])
def test_a_row_of_a_model_trained_here_is_called_as_said_or_by_its_name(said, row):
    text = edited("models.trained.cribo", f"{{dataset: scenes{said}}}")
    assert plan.plan(params.parse(text, Path("params.yaml")))["report"]["models"]["cribo"] == {
        "row": row,
        "backbone": "vit_demo_8",
        "dataset": "scenes",
        "epochs": 36,
        "losses": ["global"] if said else LOSSES,
        "method": "DINO" if said else "CrIBo",
    }


@pytest.mark.parametrize(
    ("algorithm", "keys"), [("kmeans", {"algorithm", "K", "outer_iterations"}), ("labels", {"algorithm", "K"})]
)
def test_a_way_of_clustering_reads_its_own_settings_alone(algorithm, keys):
    text = edited("models.trained.cribo", f"{{dataset: scenes, clustering: {{algorithm: {algorithm}, K: 13}}}}")
    assert plan.plan(params.parse(text, Path("params.yaml")))["pretrain/cribo"]["clustering"].keys() == keys


@pytest.mark.parametrize("more", ["mean: [0.5, 0.5, 0.5]", "std: [0.5, 0.5, 0.5]"])
def test_the_statistics_of_a_file_reach_its_import_alone(more):
    line = "  imported:\n    mine: {{weights: a.pth, format: timm, backbone: vit_small_16{}}}"
    without, given = (DEMO.replace("  imported:", line.format(end)) for end in ("", f", {more}"))
    before, after = (plan.plan(params.parse(text, Path("params.yaml"))) for text in (without, given))
    assert [name for name in after if after[name] != before[name]] == ["import/mine"]
    assert after["import/mine"][more.partition(":")[0]] == [0.5, 0.5, 0.5]


def test_the_plan_is_written_and_read_back(tmp_path):
    p = params.load("recipes/demo.yaml")
    written = plan.write(p, tmp_path)
    assert {str(f.relative_to(tmp_path).with_suffix("")) for f in written} == set(plan.plan(p))
    for name, settings in plan.plan(p).items():
        assert plan.read(name, tmp_path) == yaml.safe_load(yaml.safe_dump(settings))
    assert list(plan.read("report", tmp_path)["models"]) == list(p.evaluate.models) != sorted(p.evaluate.models)


def test_a_plan_that_was_not_made_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="dvc repro plan"):
        plan.read("pretrain/cribo", tmp_path)


def test_what_was_not_made_says_the_stage_that_makes_it_or_the_name_that_was_meant(tmp_path):
    plan.write(params.load("recipes/demo.yaml"), tmp_path / "plan")
    for kind, name, says in (
        ("pretrain", "cribo", "run `dvc repro pretrain@cribo`"),
        ("encoders", "cribo", "run `dvc repro export@cribo`"),
        ("encoders", "random", "run `dvc repro import@random`"),
        ("encoders", "randm", "run `dvc repro plan`, .* did you mean random?"),
        ("pretrain", "random", "run `dvc repro plan`, or give a name that params.yaml has$"),
    ):
        with pytest.raises(FileNotFoundError, match=f"{kind}/{name} is missing: {says}"):
            plan.made(kind, name, tmp_path)
    (tmp_path / "encoders/cribo").mkdir(parents=True)
    assert plan.made("encoders", "cribo", tmp_path) == tmp_path / "encoders/cribo"


def test_paths_and_compute_never_enter_the_plan_of_a_later_stage():
    planned = {k: v for k, v in plan.plan(params.load("recipes/demo.yaml")).items() if not k.startswith("data/")}
    text = yaml.safe_dump(planned)
    assert all(word not in text for word in ("workers", "threads", "checkpoint_steps", " path:"))
