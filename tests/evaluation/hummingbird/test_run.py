"""The open-hummingbird protocol against a restatement in loops, and its parts."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from PIL import Image

from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.hummingbird import run as hummingbird
from cribo.evaluation.hummingbird.patches import (
    Augmentation,
    Copies,
    Labelling,
    class_counts,
    rare_first,
    soft_patches,
    square,
)
from cribo.evaluation.hummingbird.run import Settings, evaluate, matched, soft_vote, void_column
from cribo.evaluation.hummingbird.soft_labels import packed, soft_labels
from cribo.evaluation.miou import iou
from cribo.evaluation.neighbours import shared_search
from cribo.training.engine.distributed import World

ALONE = World(0, 1, torch.device("cpu"))
SIZES = {"train": [(32, 32), (40, 27), (35, 48)], "val": [(32, 40), (45, 33)]}
PLAIN = Settings(32, 4, 0.1, 1, (1.0, 1.0), 0.0, 0.0, None, True, False, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_set):
    return write_set(tmp_path_factory.mktemp("photos"), SIZES)


@pytest.fixture(params=[True, False], ids=["background", "no background"])
def any_data(data, request):
    """With class 0 as the background, or a class like any other, as ADE20K's."""
    return data if request.param else replace(data, classes=("wall", *data.classes[1:]))


def restated_patches(encoder, record, void):
    """[(feature, shares of five things)] of a photo at 32 × 32 px, of which `void` is where void pixels count."""
    image = Image.open(record.image).resize((32, 32), Image.Resampling.BILINEAR)
    mask = np.array(Image.open(record.mask).resize((32, 32), Image.Resampling.NEAREST))
    x = torch.tensor(np.asarray(image)).permute(2, 0, 1) / 255 - torch.tensor(encoder.mean).view(3, 1, 1)
    with torch.no_grad():
        tokens = encoder.net.forward_features((x / torch.tensor(encoder.std).view(3, 1, 1)).unsqueeze(0))[0, 1:]
    patches = []
    for n in range(16):
        y, x0 = divmod(n, 4)
        pixels = mask[8 * y : 8 * y + 8, 8 * x0 : 8 * x0 + 8].ravel()
        shares = [float(np.mean((pixels == c) | ((pixels == 255) & (c == void)))) for c in range(5)]
        feature = tokens[n].double().numpy()
        patches.append((feature / np.linalg.norm(feature), np.array(shares)))
    return patches, mask


def restated_pairs(encoder, data, k, temperature):
    """(truth, prediction) of every pixel that is not void; 4 is void that was predicted."""
    void = 0 if data.classes[0] == "background" else 4
    memory = [patch for record in data.splits["train"] for patch in restated_patches(encoder, record, void)[0]]
    pairs = []
    for record in data.splits["val"]:
        queries, mask = restated_patches(encoder, record, void)
        shares = np.zeros((16, 5))
        for n, (feature, _) in enumerate(queries):
            best = sorted(memory, key=lambda key, feature=feature: -float(feature @ key[0]))[:k]
            weights = [math.exp(float(feature @ key) / temperature) for key, _ in best]
            shares[n] = sum(w * label for w, (_, label) in zip(weights, best, strict=True)) / sum(weights)
        planes = torch.tensor(shares).view(4, 4, 5).permute(2, 0, 1).unsqueeze(0).float()
        full = torch.nn.functional.interpolate(planes, (32, 32), mode="bilinear")[0].argmax(0).numpy()
        pairs += [(t, p) for t, p in zip(mask.ravel().tolist(), full.ravel().tolist(), strict=True) if t != 255]
    return pairs


def restated_miou(pairs):
    ious = []
    for c in {t for t, _ in pairs}:
        hit = sum(t == c and p == c for t, p in pairs)
        ious.append(hit / sum(t == c or p == c for t, p in pairs))
    return sum(ious) / len(ious)


def whole_photo(monkeypatch):
    """Memory without augmentation, which the protocol always has."""
    original = soft_patches
    monkeypatch.setattr(
        hummingbird, "soft_patches", lambda e, r, how, *rest: original(e, r, replace(how, augmentation=None), *rest)
    )


def test_protocol_equals_restatement(encoder, any_data, monkeypatch):
    whole_photo(monkeypatch)
    found = evaluate(encoder, any_data, PLAIN, ALONE)
    pairs = restated_pairs(encoder, any_data, 4, 0.1)
    assert found.pixel.mean == pytest.approx(restated_miou(pairs), abs=1e-9)
    assert found.counts["pixels_scored"] == len(pairs)
    assert found.counts["keys"] == 48 and found.counts["queries"] == 32 and found.counts["neighbours"] == 4


def test_where_classes_are_matched_the_score_is_that_after_matching_and_the_one_before_is_kept(encoder, data, monkeypatch):
    monkeypatch.setattr(hummingbird, "matched", lambda matrix: matrix[:, [1, 0, 2, 3]])
    found, plain = (evaluate(encoder, data, replace(PLAIN, match_classes=flag), ALONE) for flag in (True, False))
    assert found.unmatched.mean == plain.unmatched.mean == plain.pixel.mean != found.pixel.mean


def test_chunks_and_disk_change_nothing(encoder, data, monkeypatch):
    settings = replace(PLAIN, passes=2, crop_area=(0.5, 1.0), jitter=0.1, jitter_probability=0.5, match_classes=True)
    whole = evaluate(encoder, data, settings, ALONE)
    for name, value in (("KEYS", 7), ("QUERIES", 20), ("BLOCK", 5)):
        monkeypatch.setattr(shared_search, name, value)
    parts = evaluate(encoder, data, settings, ALONE, workers=2, memory_gb=0)
    assert (parts.pixel.mean, parts.unmatched.mean, parts.counts) == (whole.pixel.mean, whole.unmatched.mean, whole.counts)
    assert whole.counts["keys"] == 96


def test_every_choice_changes_the_score(encoder, data):
    base = replace(PLAIN, passes=2, crop_area=(0.5, 1.0), jitter=0.4, jitter_probability=0.5)
    scores = {"base": evaluate(encoder, data, base, ALONE).pixel.mean}
    changes = {"size": 48, "k": 1, "temperature": 5.0, "passes": 1, "crop_area": (0.2, 0.4), "seed": 5}
    changes |= {"jitter": 0.0, "jitter_probability": 1.0, "patches_per_image": 3, "void_is_class_0": False}
    for key, value in changes.items():
        scores[key] = evaluate(encoder, data, replace(base, **{key: value}), ALONE).pixel.mean
    assert all(scores[key] != scores["base"] for key in scores if key != "base"), scores


@pytest.mark.parametrize("columns", [4, 5])
def test_matching_is_the_best_of_all_permutations(columns):
    rng = np.random.default_rng(0)
    for _ in range(5):
        matrix = rng.integers(0, 50, (4, columns))

        def total(order, matrix=matrix):
            m = matrix[:, list(order)]
            return sum(m[c, c] / (m[c].sum() + m[:, c].sum() - m[c, c]) for c in range(4))

        best = max(permutations(range(columns)), key=total)
        assert np.array_equal(matched(matrix), matrix[:, list(best)])


def test_where_no_class_is_background_void_is_none_of_them_and_what_it_wins_is_missed(encoder, data):
    assert [void_column(replace(data, classes=names), PLAIN) for names in (data.classes, ("wall", "person"))] == [0, 2]
    assert void_column(data, replace(PLAIN, void_is_class_0=False)) is None
    assert iou(np.array([[6, 0, 2], [1, 3, 0]])).per_class.tolist() == [6 / 9, 3 / 4]
    copies, labelling = Copies(32, 1, None, None, 0), Labelling(4, 255, 4)
    labels = soft_patches(encoder, data.splits["train"], copies, labelling, ALONE, 0, math.inf, "").labels
    first = labels.counts(np.array([0]))[0].tolist()  # the first patch of each photo is wholly void
    assert first == [0, 0, 0, 0, 64] and labels.labelled.all()


def test_soft_vote():
    counts = np.array([[[3, 1], [0, 4]]])
    cosines = torch.tensor([[0.9, 0.7]])
    weights = [math.exp(0.9 / 0.2), math.exp(0.7 / 0.2)]
    first = (weights[0] * 0.75) / sum(weights)
    assert soft_vote(cosines, counts, 0.2)[0].tolist() == pytest.approx([first, 1 - first])


def test_packed_labels_are_the_counts_and_small():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(256, [0.9, 0.05, 0.03, 0.02] + [0] * 146, (3, 50)) * rng.integers(0, 2, (3, 50, 1))
    labels = soft_labels({n: packed(own) for n, own in enumerate(counts)}, 3, 50, 150, ALONE)
    chosen = rng.integers(0, 150, 400)
    assert np.array_equal(labels.counts(chosen), counts.reshape(150, 150)[chosen])
    assert np.array_equal(labels.labelled, counts.reshape(150, 150).any(1)) and len(labels) == 150
    assert labels.starts.nbytes + labels.entries.nbytes < 0.1 * counts.astype(np.int16).nbytes
    assert labels.counts(chosen[:0]).shape == (0, 150)


def test_class_counts_of_void(data):
    mask = np.full((16, 16), 255, np.uint8)
    mask[:8, :8] = 2
    record = data.splits["train"][0]
    assert class_counts(mask, 8, Labelling(4, 255, 0), record)[:2].tolist() == [[0, 0, 64, 0], [64, 0, 0, 0]]
    assert class_counts(mask, 8, Labelling(4, 255, 4), record)[:2].tolist() == [[0, 0, 64, 0, 0], [0, 0, 0, 0, 64]]
    assert class_counts(mask, 8, Labelling(4, 255, None), record)[:2].tolist() == [[0, 0, 64, 0], [0, 0, 0, 0]]
    with pytest.raises(EvaluationError, match="holds 2, which is neither one of 2 classes nor 255"):
        class_counts(mask, 8, Labelling(2, 255, 0), record)


def test_patches_of_rare_classes_are_kept_more_often():
    counts = np.zeros((40, 2), np.int16)
    counts[:36, 0] = counts[36:, 1] = 64
    kept = [rare_first(counts, 8, np.random.default_rng(seed)) for seed in range(50)]
    assert all(len(set(k.tolist())) == 8 and np.all(np.diff(k) > 0) for k in kept)
    assert np.mean([np.sum(k >= 36) for k in kept]) > 3  # of four; a uniform choice would keep 0.8


def test_photo_and_mask_are_cropped_alike(data):
    """Colours follow classes, so a class's mean colour is the same in a crop, whatever the crop."""
    record = data.splits["train"][2]
    draw = Augmentation((0.3, 0.6), 0.0, 0.0)
    for seed in range(5):
        image, mask = square(record, 64, draw, np.random.default_rng(seed))
        for label, colour in ((1, 0), (2, 1), (3, 2)):
            if (mask == label).sum() > 200:
                assert image[mask == label].mean(0).argmax() == colour


def test_jitter_moves_brightness_by_its_share_and_hue_by_its_part_of_the_circle(data, tmp_path):
    record = replace(data.splits["train"][0], image=tmp_path / "flat.png")  # flat: contrast has nothing to change

    def seen(colour):
        Image.new("RGB", (32, 32), colour).save(record.image)
        draws = [square(record, 8, Augmentation((1.0, 1.0), 0.2, 1.0), np.random.default_rng(seed))[0] for seed in range(40)]
        return draws, [Image.fromarray(image).convert("HSV").getpixel((4, 4)) for image in draws]

    grey = [image.mean() for image in seen((100, 100, 100))[0]]
    assert 79 <= min(grey) < 90 and 110 < max(grey) <= 121
    hue = [(h + 128) % 256 - 128 for h, _, _ in seen((150, 60, 60))[1]]  # red: zero
    assert -53 <= min(hue) < -30 and 30 < max(hue) <= 53


def test_a_square_that_is_no_multiple_of_the_patch(encoder, data):
    with pytest.raises(EvaluationError, match="30 px is not a multiple of small's 8 px patch"):
        evaluate(encoder, data, replace(PLAIN, size=30), ALONE)
