"""Which printed value stands beside a model of ours: that of the same set-up, and no other."""

from __future__ import annotations

import pytest

from cribo.report.paper import values as paper
from cribo.report.tables.counterparts import is_counterpart, model_of, printed
from cribo.report.tables.table import NONE, Number

ALL = ["global", "cross_view", "cross_image"]
VOC, ADE, SMALL = "voc2012", "ade20k", "vit_small_16"


def value(row: dict, settings: dict | None, *score) -> float | None:
    found = printed([model_of(row, settings)], score)
    return None if found == NONE else found.value


def row(backbone=SMALL, dataset="coco", epochs=300, losses=ALL, method="CrIBo") -> dict:
    return {"backbone": backbone, "dataset": dataset, "epochs": epochs, "losses": losses, "method": method}


def trained(K=64, lambda_pos=2.0, S=25000, algorithm="sinkhorn", criterion="cycle") -> dict:
    return {
        "clustering": {"algorithm": algorithm, "K": K, "lambda_pos": lambda_pos},
        "memory_bank": {"images": S},
        "matching": {"criterion": criterion},
    }


@pytest.mark.parametrize(
    ("about", "score", "expected"),
    [
        (row(), ("dense_nn", VOC, "1/1"), 58.1),
        (row(losses=ALL[::-1]), ("dense_nn", ADE, "1/128"), 10.9),
        (row(dataset="imagenet", epochs=800), ("dense_nn", VOC, "1/64"), 59.3),
        (row("vit_base_16", "imagenet", 400), ("dense_nn", ADE, "1/1"), 30.0),
        (row(losses=ALL[:1]), ("dense_nn", VOC, "1/1"), 31.6),
        (row(losses=ALL[:2]), ("dense_nn", ADE, "1/1"), 18.3),  # Table 5; Table 4 has 18.4
        (row(losses=[*ALL, "a term of your own"]), ("dense_nn", VOC, "1/1"), None),
        (row(losses=ALL[:1]), ("dense_nn", VOC, "1/8"), None),
        (row(losses=ALL[1:]), ("dense_nn", VOC, "1/1"), None),
        (row(), ("dense_nn", VOC, "1/2"), None),
        (row(epochs=200), ("dense_nn", VOC, "1/1"), None),
        (row(dataset="scenes"), ("dense_nn", VOC, "1/1"), None),
        (row(), ("dense_nn", "scenes", "1/1"), None),
        (row("vit_demo_8"), ("dense_nn", VOC, "1/1"), None),
        (row(dataset=None, epochs=0, losses=[], method=None), ("dense_nn", VOC, "1/1"), None),
        (row("ViT-S/16", "COCO", "300", [], "DINO"), ("dense_nn", VOC, "1/1"), 31.9),
        (row(), ("linear_segmentation", VOC, 1), 61.0),
        (row("vit_base_16", "imagenet", 400), ("linear_segmentation", "coco_stuff", 4), 36.5),
        (row(dataset="imagenet", epochs=800), ("segmenter", "pascal_context", None), 49.3),
        (row(losses=ALL[:1]), ("linear_segmentation", VOC, 1), None),
        (row(dataset="imagenet", epochs=800), ("yolos", "coco", "AP75"), 37.4),
        (row(dataset="imagenet", epochs=800, losses=ALL[:1]), ("yolos", "coco", "AP"), None),
        (row(losses=ALL[:1]), ("knn", "imagenet", "top1"), 34.3),
        (row(epochs=200), ("knn", "imagenet", "top1"), None),
    ],
)
def test_published_weights_have_the_value_that_is_reported_of_them(about, score, expected):
    assert value(about, None, *score) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (trained(), 58.1),
        (trained(lambda_pos=4.0), 57.5),
        (trained(S=1000), 46.7),
        (trained(K=8), 52.9),
        (trained(lambda_pos=3.0), None),
        (trained(lambda_pos=4.0, K=8), None),
        (trained(algorithm="kmeans", K=4), 42.8),
        (trained(criterion="labels"), 59.5),
        (trained(criterion="none"), None),
    ],
)
def test_a_model_trained_here_has_the_value_of_its_own_lambda_s_and_k_or_none(settings, expected):
    assert value(row(), settings, "dense_nn", VOC, "1/1") == expected
    if settings != trained():
        assert value(row(), settings, "dense_nn", VOC, "1/8") is None


def test_dino_without_local_crops_is_the_global_loss_alone_too_and_with_them_it_is_dino_only():
    dino = row(losses=ALL[:1], method="DINO")
    plain, multi = {"views": {}}, {"views": {"local": {"count": 8}}}
    assert value(dino, plain, "knn", "imagenet", "top1") == 34.3
    assert value(dino, plain, "dense_nn", VOC, "1/1") == value(dino, multi, "dense_nn", VOC, "1/1") == 31.9
    assert value(dino, multi, "knn", "imagenet", "top1") is None
    assert value(row(losses=ALL[:1]), multi, "dense_nn", VOC, "1/1") is None


def test_only_the_grid_of_the_cycle_ablation_stands_behind_its_aggregates():
    cell = next(cell for cell in paper.cells() if cell.table == 8 and cell.factor["criterion"] == "cycle_consistency")
    inside, outside = trained(K=12, lambda_pos=4.0, S=50000), trained(K=32, lambda_pos=1.0)
    about = row(dataset="imagenet", epochs=300)
    assert is_counterpart(model_of(about, inside), cell) and not is_counterpart(model_of(about, outside), cell)
    assert not is_counterpart(model_of(about, trained(K=12, lambda_pos=4.0, criterion="none")), cell)


@pytest.mark.parametrize(("photos", "expected"), [(118_272, 58.1), (118_016, None), (241_408, None)])
def test_a_part_of_coco_or_more_than_it_is_not_the_papers(photos, expected):
    settings = trained() | {"optimisation": {"batch_size": 256}}
    assert value(row() | {"photos": photos}, settings, "dense_nn", VOC, "1/1") == expected


def test_a_row_has_a_value_only_where_all_of_its_models_are_set_up_so():
    same, other = model_of(row(), trained()), model_of(row(), trained(K=8))
    assert printed([same, same], ("dense_nn", VOC, "1/1")) == Number(58.1)
    assert printed([same, other], ("dense_nn", VOC, "1/1")) == NONE
