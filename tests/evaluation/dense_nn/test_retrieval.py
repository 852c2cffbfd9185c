"""The whole protocol against a restatement in loops, and what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cribo.data.prepared.manifest import DataError
from cribo.evaluation.dense_nn import retrieval as dense_nn
from cribo.evaluation.dense_nn.result import dense_nn_result
from cribo.evaluation.dense_nn.retrieval import Settings, evaluate
from cribo.evaluation.dense_nn.subsample import draws
from cribo.evaluation.features import patch_features as features
from cribo.evaluation.features.patch_features import extract
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.harness.result import Meter, write_json
from cribo.training.engine.distributed import World

ALONE = World(0, 1, torch.device("cpu"))
SIZES = {"train": [(32, 32), (40, 27), (35, 48), (32, 32), (29, 61), (32, 32)], "val": [(32, 40), (45, 33), (32, 40)]}


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_set):
    return write_set(tmp_path_factory.mktemp("photos"), SIZES)


def restated_patches(encoder, record):
    """[(feature, label)] and (h, w), one image at a time, by timm, Pillow and loops."""
    h, w = record.height // 8, record.width // 8
    image = Image.open(record.image).resize((w * 8, h * 8), Image.Resampling.BICUBIC)
    mask = np.asarray(Image.open(record.mask).resize((w * 8, h * 8), Image.Resampling.NEAREST))
    x = torch.tensor(np.asarray(image)).permute(2, 0, 1) / 255 - torch.tensor(encoder.mean).view(3, 1, 1)
    with torch.no_grad():
        tokens = encoder.net.forward_features((x / torch.tensor(encoder.std).view(3, 1, 1)).unsqueeze(0))[0, 1:]
    patches = []
    for n in range(h * w):
        y, x0 = divmod(n, w)
        values = [v for v in mask[y * 8 : y * 8 + 8, x0 * 8 : x0 * 8 + 8].ravel().tolist() if v != 255]
        label = min(set(values), key=lambda v: (-values.count(v), v)) if values else 255
        feature = tokens[n].double().numpy()
        patches.append((feature / np.linalg.norm(feature), label))
    return patches, (h, w)


def restated_miou(pairs):
    """Mean IoU of (truth, prediction) pairs over the classes that occur in the truth."""
    pairs = [(t, p) for t, p in pairs if t != 255]
    ious = []
    for c in {t for t, _ in pairs}:
        hit = sum(t == c and p == c for t, p in pairs)
        ious.append(hit / sum(t == c or p == c for t, p in pairs))
    return sum(ious) / len(ious)


def restated(encoder, data, images, k, temperature):
    """(patch mIoU, pixel mIoU) with the training images of these indices in memory."""
    memory = [patch for i in images for patch in restated_patches(encoder, data.splits["train"][i])[0] if patch[1] != 255]
    patch_pairs, pixel_pairs = [], []
    for record in data.splits["val"]:
        queries, (h, w) = restated_patches(encoder, record)
        shares = np.zeros((h * w, 4))
        for n, (feature, label) in enumerate(queries):
            scores = [(float(feature @ key), c) for key, c in memory]
            for score, c in sorted(scores, key=lambda pair: -pair[0])[:k]:
                shares[n, c] += 1 if temperature is None else math.exp(score / temperature)
            shares[n] /= shares[n].sum()
            patch_pairs.append((label, int(shares[n].argmax())))
        planes = torch.tensor(shares).view(h, w, 4).permute(2, 0, 1).unsqueeze(0).float()
        full = torch.nn.functional.interpolate(planes, (record.height, record.width), mode="bilinear")[0].numpy()
        truth = np.asarray(Image.open(record.mask))
        pixel_pairs += list(zip(truth.ravel().tolist(), full.argmax(0).ravel().tolist(), strict=True))
    return restated_miou(patch_pairs), restated_miou(pixel_pairs)


@pytest.mark.parametrize("k, temperature", [(5, 0.07), (5, None), (5000, 0.5)])
def test_protocol_equals_restatement(encoder, data, k, temperature):
    settings = Settings(k, temperature, (1, 3), 2, 7)
    found = evaluate(encoder, data, settings, ALONE)
    assert list(found.runs) == [1, 3] and [len(runs) for runs in found.runs.values()] == [1, 2]
    for factor, runs in found.runs.items():
        for run, images in zip(runs, draws(6, factor, 2, 7), strict=True):
            patch, pixel = restated(encoder, data, images, k, temperature)
            assert run.patch.mean == pytest.approx(patch, abs=1e-9)
            assert run.pixel.mean == pytest.approx(pixel, abs=1e-9)
            assert run.images == len(images) and run.neighbours == min(k, run.keys)
    assert found.runs[1][0].patch.occurring == 3  # val has no blue
    labels = {
        split: [c for record in records for _, c in restated_patches(encoder, record)[0]]
        for split, records in data.splits.items()
    }
    scored = {split: sum(c != 255 for c in found) for split, found in labels.items()}
    pixels = sum((np.asarray(Image.open(record.mask)) != 255).sum() for record in data.splits["val"])
    counted = {"keys": scored["train"], "queries": len(labels["val"]), "queries_scored": scored["val"]}
    sizes = {"classes": 4, "train_images": 6, "val_images": 3, "pixels_scored": pixels}
    assert found.counts == counted | sizes and scored["val"] < len(labels["val"])


def test_photos_that_no_run_draws_are_not_read_and_the_scores_of_a_factor_do_not_depend_on_the_others(
    encoder, data, monkeypatch
):
    both = evaluate(encoder, data, Settings(5, 0.07, (1, 3), 2, 7), ALONE)
    read = []
    monkeypatch.setattr(dense_nn, "extract", lambda *args: read.append(args[1]) or extract(*args))
    alone = evaluate(encoder, data, Settings(5, 0.07, (3,), 2, 7), ALONE)
    drawn = np.unique(np.concatenate(draws(6, 3, 2, 7)))
    assert len(drawn) < 6 and read[0] == [data.splits["train"][i] for i in drawn]
    scores = [[(run.keys, run.patch.mean, run.pixel.mean) for run in found.runs[3]] for found in (alone, both)]
    assert scores[0] == scores[1]


def test_features_stand_in_the_order_of_the_records(encoder, data, monkeypatch):
    whole = extract(encoder, data.splits["train"], 4, 255, ALONE, workers=2)
    for i, record in enumerate(data.splits["train"]):
        patches, grid = restated_patches(encoder, record)
        rows = slice(whole.starts[i], whole.starts[i + 1])
        assert whole.grids[i] == grid
        assert whole.labels[rows].tolist() == [label for _, label in patches]
        np.testing.assert_allclose(whole.features[rows], np.stack([f for f, _ in patches]), atol=1e-5)
    assert (whole.labels == 255).any()
    monkeypatch.setattr(features, "BATCH_PIXELS", 1)
    single = extract(encoder, data.splits["train"], 4, 255, ALONE)
    torch.testing.assert_close(single.features, whole.features)


def test_block_of_queries_changes_nothing(encoder, data, monkeypatch):
    settings = Settings(5, 0.07, (1,), 1, 0)
    whole = evaluate(encoder, data, settings, ALONE).runs[1][0]
    monkeypatch.setattr(dense_nn, "QUERIES", 1)
    split = evaluate(encoder, data, settings, ALONE).runs[1][0]
    assert (split.patch.mean, split.pixel.mean) == (whole.patch.mean, whole.pixel.mean)


def test_result_is_json_and_the_same_twice(encoder, data, tmp_path):
    settings = Settings(5000, 0.07, (1, 3), 2, 0)
    trees = [
        dense_nn_result("small", data, settings, 8, evaluate(encoder, data, settings, ALONE), {"seconds": n}) for n in (1, 2)
    ]
    for n, tree in enumerate(trees):
        write_json(tmp_path / "results" / f"{n}.json", tree)
    read = [json.loads((tmp_path / "results" / f"{n}.json").read_text()) for n in (0, 1)]
    assert [tree.pop("cost") for tree in read] == [{"seconds": 1}, {"seconds": 2}]
    first = read[0]
    assert first == read[1] and (first["model"], first["dataset"]) == ("small", "rectangles")
    assert first["value"] == first["patch"]["1/1"]["mean"] == first["patch"]["1/1"]["runs"][0]
    assert first["patch"]["1/1"]["std"] is None
    a, b = first["pixel"]["1/3"]["runs"]
    assert first["pixel"]["1/3"]["std"] == pytest.approx(abs(a - b) / math.sqrt(2), abs=1e-3)
    assert first["per_class"]["patch"]["blue"] is None
    scored = [v for v in first["per_class"]["patch"].values() if v is not None]
    assert sum(scored) / len(scored) == pytest.approx(first["value"], abs=1e-3)
    assert first["n"]["classes_in_patch_mean"] == 3
    assert first["protocol"]["fewer_than_k_keys"] == "all keys vote at 1/1, 1/3"
    assert first["memory"]["1/3"]["images"] == 2
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["0.json", "1.json"]


def test_meter():
    cost = Meter(torch.device("cpu"), "bf16").read()
    assert cost["seconds"] >= 0 and 10 < cost["peak_memory_mib"] < 10**6
    assert (cost["device"], cost["precision"]) == ("cpu", "bf16")


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"value": 1})
    with pytest.raises(ValueError):
        write_json(path, {"value": math.nan})
    assert json.loads(path.read_text()) == {"value": 1}
    assert list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------------------------------------------------------ refusals
def changed(data, split, **values):
    records = data.splits[split]
    return replace(data, splits={**data.splits, split: (replace(records[0], **values), *records[1:])})


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: changed(d, "val", mask=None), "has no mask"),
        (lambda d: changed(d, "train", width=5), "less than one patch"),
        (lambda d: changed(d, "train", width=48), "index says 48 × 32"),
        (lambda d: replace(d, classes=("ground", "red")), "holds [23], which is neither one of 2 classes"),
        (lambda d: replace(d, splits={"train": d.splits["train"], "val": ()}), "6 train and 0 val"),
    ],
)
def test_refusals(encoder, data, change, words):
    with pytest.raises(EvaluationError, match=words):
        evaluate(encoder, change(data), Settings(5, None, (1,), 1, 0), ALONE)


def test_missing_photo(encoder, data, tmp_path):
    with pytest.raises(DataError, match=r"gone\.png"):
        evaluate(encoder, changed(data, "val", image=tmp_path / "gone.png"), Settings(5, None, (1,), 1, 0), ALONE)


def test_void_everywhere(encoder, write_set, tmp_path):
    data = write_set(tmp_path, {"train": [(32, 32)], "val": [(32, 32)]}, void=2)
    with pytest.raises(EvaluationError, match="without a labelled patch"):
        evaluate(encoder, data, Settings(5, None, (1,), 1, 0), ALONE)
    good = write_set(tmp_path / "good", {"train": [(32, 32)], "val": [(32, 32)]}, void=0)
    with pytest.raises(EvaluationError, match=r"the val split: .* void everywhere"):
        evaluate(
            encoder,
            replace(data, splits={"train": good.splits["train"], "val": data.splits["val"]}),
            Settings(5, None, (1,), 1, 0),
            ALONE,
        )


def test_progress_is_printed(encoder, data, capsys):
    evaluate(encoder, data, Settings(5, None, (1, 3), 2, 0), ALONE)
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("train features of rectangles: 100 %") for line in lines)
    assert any("neighbours on rectangles: 100 %, 1/3 run 2 of 2" in line for line in lines)
