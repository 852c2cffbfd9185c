"""params.yaml: what is wrong, where, and what was meant, for every mistake at once; no job before that."""

import numpy as np
import pytest
import torch

from cribo import params
from cribo.data.preparation.scenes import CLASSES
from cribo.params.checks.names import PAPERS
from cribo.params.data import SCENE_CLASSES
from cribo.report.paper.values import PRETRAINING, SEGMENTATION_DATASETS, VALUE_DATASETS
from tests.edits import DEMO, edited, judging, line_of, parse, renamed, sentences

SEEDED = ("dense_nn", "hummingbird", "linear_segmentation", "segmenter", "yolos")


def test_the_committed_files_are_valid():
    params.load("recipes/demo.yaml")
    params.load("params.yaml")


def test_every_key_says_what_it_means():
    for number, text in enumerate(DEMO.splitlines(), 1):
        key, _, value = text.partition(":")
        if key.startswith("    ") and value and not value.strip().startswith(("{", "#")) and "datasets" not in key:
            assert "#" in value, f"line {number} has no comment"


def test_an_unknown_key_is_named_with_its_line_and_what_was_meant():
    found = sentences(renamed("pretrain.clustering.lambda_pos", "lamda_pos"))
    at = f"params.yaml:{line_of('pretrain.clustering.lambda_pos')}: pretrain.clustering.lamda_pos: is not a parameter"
    assert found[0].startswith(at) and found[0].endswith("did you mean lambda_pos?")
    assert "pretrain.clustering.lambda_pos: is missing" in found[1]


def test_all_mistakes_are_reported_at_once():
    text = edited("pretrain.clustering.K", '"8"')
    text = edited("pretrain.backbone", "vit_dmo_8", text)
    found = sentences(edited("pretrain.optimisation.ema", "[0.9, 1.5]", text))
    assert len(found) == 3 and all(sentence.startswith("params.yaml:") for sentence in found)
    assert any("K: should be a valid integer, not '8'" in s for s in found)
    assert any("did you mean vit_demo_8?" in s for s in found)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("pretrain.clustering.K", "800", "800 clusters need as many tokens"),
        ("pretrain.clustering.K", "eight", "should be a valid integer"),
        ("pretrain.clustering.sharpness", "500", "less than or equal to 80"),
        ("pretrain.views.size", "8", "greater than or equal to 16"),
        ("pretrain.views.crop_area", "[1.0, 0.25]", "must not exceed"),
        ("pretrain.clustering.normalise_images", "7", "cannot be split into groups of 7"),
        ("pretrain.matching.pool_images", "7", "cannot be split into groups of 7"),
        ("pretrain.memory_bank.images", "3", "at least one batch"),
        ("pretrain.targets.warmup_epochs", "999", "do not fit"),
        ("pretrain.optimisation.warmup_epochs", "999", "do not fit"),
        ("pretrain.matching.first_epoch", "36", "starts with epoch 36, counted from 0, and training has 36: lower it"),
        ("pretrain.clustering.lambda_pos", ".inf", "should be a finite number"),
        ("pretrain.optimisation.ema", "[0.9, .nan]", "should be a finite number"),
        ("evaluate.models", "[random, random, cribo]", "names random twice: keep one"),
        ("evaluate.dense_nn.datasets", "[scenes, scenes]", "names scenes twice: keep one"),
        ("evaluate.knn.datasets", "[scenes, scenes]", "names scenes twice: keep one"),
        ("report.examples.models", "[cribo, cribo]", "names cribo twice: keep one"),
        ("pretrain.losses", "[]", "is an empty list: it needs at least 1 value"),
        ("pretrain.losses", "global", "should be a list as [a, b], not 'global'"),
        ("pretrain.optimisation.ema", "0.98", "should be a list as [a, b], not 0.98"),
        ("pretrain.optimisation.ema", "[0.9, 0.95, 1.0]", "has too many values, 3: at most 2 are allowed"),
        ("pretrain.optimisation.ema", "[0.9]", "has too few values: [0.9]"),
        ("models.trained.cribo", "null", "should be a group of keys, and is left empty"),
        ("models.trained.cribo", '{dataset: scenes, row: "Cr\\nIBo"}', r"row: should be one line of text, not 'Cr\nIBo'"),
        ("report.title", '"CrIBo\\n\\n"', r"should be one line of text, not 'CrIBo\n\n'"),
        ("compute.tf32", "1", "should be true or false, not 1"),
        ("data.scenes.kind", "scene", "did you mean scenes?"),
        ("pretrain.losses", "[globl]", "did you mean global?"),
        ("report.reference", "rand", "did you mean random?"),
        ("report.tables", "[13]", "less than or equal to 12"),
        ("report.examples.models", "[cribos]", "did you mean cribo?"),
        ("report.examples.datasets", "[scene]", "did you mean scenes?"),
        ("evaluate.dense_nn.datasets", "[scene]", "did you mean scenes?"),
        ("evaluate.knn.datasets", "[scene]", "did you mean scenes?"),
        ("evaluate.knn.crop", "56", "does not fit into a shorter side of 48 px"),
        ("evaluate.yolos.crop", "[96, 64]", "must not exceed"),
        ("evaluate.hummingbird.crop_area", "[2.0, 0.5]", "must not exceed"),
        ("evaluate.models", "[random, globl, cribo]", "did you mean global?"),
        ("data.scenes.objects", "[5, 2]", "must not exceed"),
        ("data.scenes.objects", "[5, 256]", "less than or equal to 255, not 256"),
        ("pretrain.optimisation.min_lr", "0.1", "would rise to 0.1 at the end from its peak of 0.0005: lower it"),
        ("pretrain.head.freeze_epochs", "36", "in 36 epochs the prototypes would stay as drawn to the end: lower it below"),
        ("evaluate.dense_nn.subsample", "[1, 8, 8]", "names 8 twice: keep one"),
        ("evaluate.knn.k", "[10, 20, 10]", "names 10 twice: keep one"),
        ("evaluate.linear_segmentation.layers", "[1, 1]", "names 1 twice: keep one"),
        ("evaluate.linear_segmentation.learning_rates", "[1, 1.0]", "names 1 twice: keep one"),
        ("evaluate.segmenter.learning_rates", "[1.0e-4, 1e-4]", "names 0.0001 twice: keep one"),
        ("report.tables", "[1, 2, 1]", "names 1 twice: keep one"),
        ("evaluate.linear_segmentation.datasets", "{scene: {crop: 96, window: 96, stride: 96}}", "did you mean scenes?"),
        ("evaluate.segmenter.datasets", "{scenes: {window: 80, stride: 96}}", "leave pixels out"),
        (
            "evaluate.linear_segmentation.datasets",
            "{scenes: {crop: 100}}",
            "100 px is not a multiple of random's 8 px patch",
        ),
        ("evaluate.linear_segmentation.datasets", "{scenes: {iteration: 9}}", "did you mean iterations?"),
        ("evaluate.linear_segmentation.datasets", "{scenes: {layers: [4]}}", "is not a parameter"),
        ("evaluate.linear_segmentation.learning_rates", "[-0.1]", "greater than 0"),
        ("evaluate.segmenter.ratio", "[2.0, 0.5]", "must not exceed"),
        ("compute.device", "gpu", "is not allowed (allowed: auto, cpu, cuda)"),
    ],
)
def test_an_impossible_value_is_one_sentence_with_its_key_and_line(key, value, says):
    protocol = key.split(".")[1]
    judged = key.endswith("datasets") and protocol not in ("dense_nn", "examples")
    found = sentences(judging(protocol, value) if judged else edited(key, value))
    assert len(found) == 1 and says in found[0]
    assert found[0].startswith(f"params.yaml:{line_of(key)}: {key}")


def test_two_classes_of_one_name_are_refused_as_one_would_lose_its_score():
    mine = "  mine: {kind: folder, path: /photos, train: a, masks: m, classes: [x, y, x]}\n  scenes:"
    assert ".mine.classes: names x twice: keep one" in sentences(DEMO.replace("  scenes:", mine, 1))[0]


@pytest.mark.parametrize("group", ["data.scenes", "pretrain", *(f"evaluate.{name}" for name in SEEDED)])
def test_a_seed_that_torch_does_not_take_is_refused(group):
    assert f"{group}.seed: should be less than {2**63}, not {2**63}" in sentences(edited(f"{group}.seed", str(2**63)))[0]
    parse(edited(f"{group}.seed", str(2**63 - 1)))
    assert torch.tensor(torch.Generator().manual_seed(2**63 - 1).initial_seed()) == 2**63 - 1  # and so it is resumed
    assert np.random.default_rng([2**63 - 1, 0]).random() < 1


def test_more_blocks_than_a_judged_backbone_has_are_refused_by_the_plan():
    judged = judging("linear_segmentation", "{scenes: {crop: 96, window: 96, stride: 96}}")
    parse(edited("evaluate.linear_segmentation.layers", "[1, 3]", judged))
    found = sentences(edited("evaluate.linear_segmentation.layers", "[1, 4]", judged))
    at = f"params.yaml:{line_of('evaluate.linear_segmentation.layers')}: evaluate.linear_segmentation.layers: "
    assert found == [f"{at}random has 3 blocks, and the last 4 are asked for: lower it"]


@pytest.mark.parametrize("protocol", ["hummingbird", "linear_segmentation", "segmenter", "knn", "yolos"])
def test_a_protocol_names_both_models_of_the_tables_and_data_sets_or_neither(protocol):
    datasets = "{scenes: {}}" if protocol in ("linear_segmentation", "segmenter") else "[scenes]"
    found = sentences(edited(f"evaluate.{protocol}.datasets", datasets))
    assert f"evaluate.{protocol}.models: is empty and datasets is not: name what {protocol} judges in both" in found[0]
    found = sentences(edited(f"evaluate.{protocol}.models", "[cribo]"))
    assert f"evaluate.{protocol}.datasets: is empty and models is not" in found[0]
    found = sentences(edited(f"evaluate.{protocol}.models", "[cribos]", judging(protocol, datasets)))
    assert "cribos is not in evaluate.models" in found[0] and "did you mean cribo?" in found[0]


def test_a_protocol_refuses_inputs_that_an_evaluated_model_cannot_take():
    for protocol, key, value in (("knn", "crop", "44"), ("hummingbird", "size", "44"), ("yolos", "grid", "[96, 44]")):
        text = edited(f"evaluate.{protocol}.{key}", value, judging(protocol, "[scenes]"))
        assert sentences(text)[0].endswith("44 px is not a multiple of vit_demo_8's 8 px patch")


@pytest.mark.parametrize(("name", "read"), [("2012", "2012"), ("1.5", "1.5"), ("yes", "True")])
def test_a_name_that_yaml_reads_as_something_else_than_text_says_so(name, read):
    found = sentences(renamed("models.imported.random", name))
    assert any(s.endswith(f"YAML reads this name as {read}, which is not text: put it in quotes") for s in found)


def test_a_name_with_a_dash_is_refused_because_it_separates_model_and_data_set():
    found = sentences(renamed("models.imported.random", "ran-dom"))
    assert any("'ran-dom' is not a name: letters, digits, _ and . only" in s for s in found)


@pytest.mark.parametrize(("method", "losses"), [("DINO", "[global, cross_view]"), ("MAE", "[global]"), ("DINO", "[pixels]")])
def test_a_model_is_not_called_by_the_name_of_a_baseline_whose_losses_it_has_not(method, losses):
    found = sentences(edited("models.trained.cribo", f"{{dataset: scenes, method: {method}, losses: {losses}}}"))
    assert len(found) == 1 and f"models.trained.cribo.method: {method} is losses: [" in found[0]


def test_a_mistake_in_an_overlay_is_placed_in_the_overlay():
    at = line_of("models.trained.cribo")
    found = sentences(edited("models.trained.cribo", "{dataset: scenes, seeed: 1}"))
    assert len(found) == 1 and f":{at}: models.trained.cribo.seeed" in found[0] and "did you mean seed?" in found[0]
    found = sentences(edited("models.trained.cribo", "{dataset: scenes, clustering: {K: 800}}"))
    assert len(found) == 1 and f":{at}: models.trained.cribo.clustering.K:" in found[0]
    found = sentences(edited("models.trained.cribo", "{dataset: szenes}"))
    assert "models.trained.cribo.dataset: szenes is not a data set" in found[0] and "did you mean scenes?" in found[0]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "    images:",
            "    K: 1\n    images:",
            ".K: is not a parameter here, but pretrain.clustering has one of this name (",
        ),
        (
            "[global]}",
            "[global], K: 1}",
            "global.K: is not a parameter here, but models.trained.global.clustering has one of this name (",
        ),
        ("  hummingbird:", "  k: 3\n  hummingbird:", "evaluate.k: is not a parameter ("),  # of three protocols
        (
            "    epochs: 36",
            "    epochs: 36\n    lr: 1",
            "pretrain.optimisation.lr: is not a parameter (",
        ),  # YOLOS's is another
    ],
)
def test_a_key_in_the_wrong_group_is_told_the_right_one_where_there_is_one_alone(old, new, says):
    found = sentences(DEMO.replace(old, new, 1))
    assert len(found) == 1 and says in found[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: [1", r"^params\.yaml:2: is not valid YAML here or just above: correct brackets"),
        ("a:\n  b: 1\n\tc: 2", r"^params\.yaml:3: has a tab, .*: put spaces in its place$"),
        ("- 1", r"^params\.yaml: must be a mapping"),
        ("data: {}\ndata: {}", r"^params\.yaml:2: data: is given twice"),
        ("a: 1\n? [b]\n: 2", r"^params\.yaml:2: is not valid YAML here"),
        ("a: 2024-13-45", r"^params\.yaml: holds what YAML cannot read \(month must be in 1\.\.12\): correct it, or"),
        ("a: &x [*x]", r"^params\.yaml: holds a list or group inside itself"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(text, says):
    with pytest.raises(params.ParamsError, match=says):
        parse(text)


def test_the_line_break_that_yaml_puts_behind_a_folded_text_is_no_part_of_a_title():
    assert parse(edited("report.title", '"CrIBo\\n"')).report.title == "CrIBo"


def test_a_file_that_is_no_utf_8_is_one_sentence_with_its_line(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(params.ParamsError, match=r"params\.yaml:2: is not UTF-8: save it as UTF-8$"):
        params.load(tmp_path / "params.yaml")


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(params.ParamsError, match=r"cannot be read .*: run from the folder"):
        params.load(tmp_path / "none.yaml")


def test_an_overlay_changes_its_keys_and_nothing_else():
    p = parse(edited("models.trained.global", "{dataset: scenes, clustering: {K: 12}}"))
    assert p.trained["global"].clustering.K == 12
    assert p.trained["global"].clustering.lambda_pos == p.pretrain.clustering.lambda_pos
    assert p.trained["cribo"].clustering.K == p.pretrain.clustering.K


@pytest.mark.parametrize(
    ("overlay", "key"),
    [
        ("{clustering: {algorithm: labels, K: 13}}", "models.trained.cribo.clustering.algorithm"),
        ("{matching: {criterion: labels}}", "models.trained.cribo.matching.criterion"),
    ],
)
def test_an_oracle_on_a_data_set_without_masks_is_refused_before_anything_starts(overlay, key):
    row = "{dataset: photos, " + overlay[1:]
    text = edited("models.trained.cribo", row).replace("\ndata: ", "\ndata:\n  photos: {kind: imagenet}\n#", 1)
    found = sentences(text)
    assert len(found) == 1 and f"{key}: labels reads masks, and photos, from which cribo learns, has none" in found[0]
    scenes = edited("models.trained.cribo", row.replace("photos", "scenes"))
    assert parse(scenes).trained["cribo"].dataset == "scenes"


def test_true_clusters_of_generated_scenes_need_a_cluster_for_each_of_their_classes():
    found = sentences(edited("models.trained.cribo", "{dataset: scenes, clustering: {algorithm: labels, K: 12}}"))
    assert len(found) == 1 and "cribo.clustering.K: 12 clusters are too few for labels" in found[0]
    assert found[0].endswith("raise it to 13") and len(CLASSES) == SCENE_CLASSES


def test_a_batch_that_generated_scenes_cannot_fill_is_refused_once_for_all_models():
    found = sentences(edited("data.scenes.train", "15"))
    at = f"params.yaml:{line_of('pretrain.optimisation.batch_size')}: pretrain.optimisation.batch_size: "
    assert found == [f"{at}15 training images in scenes do not fill one batch of 16: lower it"]


def test_a_loss_that_is_named_twice_is_refused():
    found = sentences(edited("models.trained.cribo", "{dataset: scenes, losses: [global, global]}"))
    assert len(found) == 1 and "models.trained.cribo.losses: names global twice: keep one" in found[0]


def test_a_cross_image_loss_that_never_starts_is_refused_only_where_a_model_has_it():
    short = "optimisation: {epochs: 20}}"
    found = sentences(edited("models.trained.cribo", "{dataset: scenes, " + short))
    assert len(found) == 1 and "starts with epoch 28, counted from 0, and training has 20" in found[0]
    parse(edited("models.trained.global", "{dataset: scenes, losses: [global], " + short))


@pytest.mark.parametrize("written", ["1e-5", "1.0e-5", ".1e-4", "1.5e2", "15E1"])
def test_scientific_notation_is_a_number_with_and_without_point_and_sign(written):
    text = edited("evaluate.dense_nn.temperature", written)
    assert parse(text).evaluate.dense_nn.temperature == float(written)


def with_data(entry, evaluated="scenes"):
    text = DEMO.replace("\npretrain:", f"  photos: {entry}\n\npretrain:", 1)
    return edited("evaluate.dense_nn.datasets", f"[{evaluated}]", text)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{kind: folder, train: ., masks: labels}", "data.photos.masks: needs data.photos.classes too"),
        ("{kind: folder, train: ., classes: [a]}", "data.photos.classes: needs data.photos.masks too"),
        ("{kind: folder}", "data.photos.train: is missing"),
        (
            "{kind: folder, train: ., download: true}",
            "of kind folder (allowed: classes, exclude_broken, kind, masks, path, tr",
        ),
        (
            "{kind: coco, classes: [a]}",
            "is not a parameter of kind coco (allowed: download, exclude_broken, kind, path, strict)",
        ),
        ("{kind: coco, strct: true}", "did you mean strict?"),
        ("{kind: ade20k, path: 3}", "data.photos.path: should be text, not 3"),
        ("{kind: ade20k, path: ''}", "data.photos.path: should name a folder, or be null for one below $CRIBO_DATA, not ''"),
        ("{kind: folder, train: /photos}", "data.photos.train: should name what lies inside `path`"),
        ("{kind: folder, train: ''}", "data.photos.train: should name what lies inside `path`"),
        ("{kind: folder, train: ., val: a/../b}", "data.photos.val: should name what lies inside `path`"),
        ("{kind: folder, train: ., masks: ../m, classes: [a]}", "without .. and without / before it, not '../m'"),
        ("{kind: voc, train: a, val: b, masks: /m}", "data.photos.masks: should name what lies inside `path`"),
        ("{kind: voc, train: ../a, val: b, masks: m}", "data.photos.train: should name what lies inside `path`"),
        ("{path: here}", "data.photos: needs `kind` (allowed: ade20k, "),
        ("", "data.photos: should be a group of keys, and is left empty"),
        ("{kind: voc, train: a, val: a, masks: m}", "data.photos.val: a is train too"),
        ("{kind: folder, train: a, val: a}", "data.photos.val: a is train too"),
    ],
)
def test_a_mistake_in_a_data_set_is_one_sentence(entry, says):
    found = sentences(with_data(entry))
    assert len(found) == 1 and says in found[0]


@pytest.mark.parametrize("part", [".", "a", "./a", "a/b", "a/b/", "..a", "a..", ".../b"])
def test_any_part_of_a_folder_may_be_named(part):
    parse(with_data(f"{{kind: folder, train: {part}}}"))


def test_a_set_of_the_papers_name_is_of_its_kind():
    folder = "{kind: folder, train: a, val: b, masks: c, classes: [x]}"
    found = sentences(with_data(folder).replace("  photos: {", "  ade20k: {"))
    assert (
        len(found) == 1
        and "data.ade20k.kind: is folder, and the paper's values stand beside what is called ade20k" in found[0]
    )
    assert found[0].endswith("write ade20k, or rename the set")
    named = {name for names in (SEGMENTATION_DATASETS, PRETRAINING, *VALUE_DATASETS.values()) for name in names}
    assert named == set(PAPERS)
    parse(with_data("{kind: voc, train: a, val: b, masks: c}").replace("  photos: {", "  voc2012: {"))


@pytest.mark.parametrize("entry", ["{kind: imagenet}", "{kind: coco}", "{kind: folder, train: .}"])
def test_a_data_set_without_masks_is_not_judged_on_masks(entry):
    assert "photos has no masks" in sentences(with_data(entry, "photos"))[0]
    parse(with_data(entry))


@pytest.mark.parametrize(
    "entry", ["{kind: ade20k}", "{kind: coco_stuff}", "{kind: folder, train: a, val: b, masks: c, classes: [x]}"]
)
def test_a_data_set_with_masks_is_judged_on(entry):
    parse(with_data(entry, "photos"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{weights: random, backbone: vit_demo_8, seed: 0}", "models.imported.x: needs image_size, as weights are random"),
        ("{weights: random, backbone: vit_dema_8, image_size: 48, seed: 0}", "did you mean vit_demo_8?"),
        (
            "{weights: random, backbone: vit_demo_8, image_size: 50, seed: 0}",
            "50 px is not a multiple of vit_demo_8's 8 px patch",
        ),
        ("{weights: dino_vits16_in1k, seed: 0}", "x.seed: says nothing where weights are in the catalogue: leave it out"),
        ("{weights: a/b.pth, backbone: vit_small_16}", "models.imported.x: needs format, as weights are a file"),
        ("{weights: a/b.pth, backbone: vit_small_16, format: teecher}", "did you mean teacher?"),
        ('{weights: resnet50.a1_in1k, row: "Res\\rNet"}', r"x.row: should be one line of text, not 'Res\rNet'"),
        ("{weights: results/encoders/a, stride: 16}", "x.stride: says nothing where weights are a folder: leave it out"),
        ("{weights: resnet50.a1_in1k, stride: 4}", "models.imported.x.stride"),
        ("{weights: results/encoders/a, std: [1.0, 1.0, 1.0]}", "x.std: says nothing where weights are a folder: leave it"),
        ("{weights: a.pth, format: timm, backbone: resnet50, mean: [0.5, 0.5]}", "models.imported.x.mean"),
        ("{weights: a.pth, format: timm, backbone: resnet50, std: [0.0, 0.5, 0.5]}", "models.imported.x.std"),
    ],
)
def test_keys_that_do_not_go_with_imported_weights_are_named(line, says):
    assert any(says in sentence for sentence in sentences(DEMO.replace("  imported:", f"  imported:\n    x: {line}")))


@pytest.mark.parametrize(
    "line",
    [
        "{weights: cribo_vits16_coco}",
        "{weights: orl_r50_coco, stride: 16}",
        "{weights: vit_small_patch16_dinov3.lvd1689m}",
        "{weights: ../other/results/encoders/cribo}",
        "{weights: a.pth, backbone: vit_small_patch14_dinov2, format: timm, image_size: 518}",
        "{weights: a.pth, backbone: test_vit.r160_in1k, format: timm, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}",
    ],
)
def test_every_kind_of_weights_is_one_line(line):
    parse(DEMO.replace("  imported:", f"  imported:\n    x: {line}"))
