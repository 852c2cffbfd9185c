"""Boxes from COCO's files, and that an augmentation moves them with the photo."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cribo.evaluation.detection.augment import Sizes, training_sample, val_sample
from cribo.evaluation.detection.boxes import boxes_of, digest_of
from cribo.evaluation.harness.errors import EvaluationError

SIZES = Sizes((32, 48, 8), 64, (32, 40), (24, 40), 40, patch=1)


def test_crowds_are_no_boxes_and_photos_without_boxes_stay(data):
    train = {photo.id: photo for photo in data.splits["train"]}
    assert len(train) == 9 and len(train[4].boxes) == 0 and len(train[2].boxes) == 0
    assert all(len(train[i].boxes) for i in train if i not in (2, 4))
    assert data.categories == {1: "red", 3: "green"}


def test_the_digest_is_of_the_photos_and_of_the_boxes_of_both_splits(prepared, tmp_path):
    seen = {digest_of(prepared), digest_of(replace(prepared, digest="of other photos"))}
    for split, path in prepared.annotations.items():
        (tmp_path / split).write_bytes(path.read_bytes() + b" ")
        seen.add(digest_of(replace(prepared, annotations=prepared.annotations | {split: tmp_path / split})))
    assert len(seen) == 4 and boxes_of(prepared).digest == digest_of(prepared) and boxes_of(prepared).name == "squares"


def test_boxes_that_rounding_left_outside_end_at_the_photo_s_edges(prepared, tmp_path):
    tree = json.loads(prepared.annotations["train"].read_text())
    tree["annotations"][0] |= {"image_id": 1, "bbox": [-0.5, -1, 49, 41.5]}
    (tmp_path / "rounded.json").write_text(json.dumps(tree))
    rounded = boxes_of(replace(prepared, annotations=prepared.annotations | {"train": tmp_path / "rounded.json"}))
    assert rounded.splits["train"][0].boxes[0].tolist() == [0, 0, 48, 40]


def red_or_green(sample):
    """Mean brightness, in the category's own channel, of the inner half of each box."""
    height, width = sample.image.shape[:2]
    found = []
    for (x, y, w, h), category in zip(sample.boxes, sample.categories, strict=True):
        columns = slice(int((x - w / 4) * width), int((x + w / 4) * width) + 1)
        rows = slice(int((y - h / 4) * height), int((y + h / 4) * height) + 1)
        found.append(sample.image[rows, columns, 0 if category == 1 else 1].mean())
    return found


def test_boxes_follow_their_objects_through_flips_crops_and_scales(data):
    seen = sizes = 0
    shapes = set()
    for photo in data.splits["train"]:
        for draw in range(20):
            sample = training_sample(photo, SIZES, np.random.default_rng([photo.id, draw]))
            assert np.all(sample.boxes[:, 2:] > 0) and np.all(sample.boxes <= 1) and np.all(sample.boxes >= 0)
            large = [b for b, box in zip(red_or_green(sample), sample.boxes, strict=True) if box[2:].min() > 0.2]
            seen, sizes = seen + sum(value > 150 for value in large), sizes + len(large)
            shapes.add(sample.image.shape[:2])
            assert max(sample.image.shape[:2]) <= 64 and min(sample.image.shape[:2]) <= 48
    assert sizes > 100 and seen == sizes and len(shapes) > 10


def test_half_of_the_photos_are_flipped_half_cropped_and_sizes_and_places_reach_both_ends(data, tmp_path, monkeypatch):
    """DETR's draws, on a photo without black and brighter to the right, whose box is the whole of it."""
    Image.fromarray(np.full((40, 48, 3), np.linspace(20, 240, 48)[:, None], np.uint8)).save(tmp_path / "brighter.png")
    whole = np.array([[0, 0, 48, 40]], dtype=np.float64)
    photo = replace(data.splits["train"][0], photo=tmp_path / "brighter.png", boxes=whole, categories=np.array([1]))
    sizes, crops, crop = replace(SIZES, longest=1000, crop_from=(33, 45)), [], Image.Image.crop

    def noting(image, box):
        crops.append((image.size, *box))
        return crop(image, box)

    monkeypatch.setattr(Image.Image, "crop", noting)
    samples = [training_sample(photo, sizes, np.random.default_rng(draw)) for draw in range(1000)]
    for sample in samples:
        assert sample.image.min() >= 20 and sample.boxes == pytest.approx(np.array([[0.5, 0.5, 1, 1]]))
    assert 450 < sum(bool(s.image[0, 0, 0] > s.image[0, -1, 0]) for s in samples) < 550 and 450 < len(crops) < 550
    assert {min(sample.image.shape[:2]) for sample in samples} == {32, 40, 48}
    assert {size for size, *_ in crops} == {(39, 33), (54, 45)}
    for axis in range(2):
        assert {corners[2 + axis] - corners[axis] for _, *corners in crops} == set(range(24, 41))
        assert min(size[axis] - corners[2 + axis] for size, *corners in crops) == 0
        assert min(corners[axis] for _, *corners in crops) == 0


def test_a_box_without_width_or_height_is_counted_and_no_target(data):
    photo = data.splits["train"][0]
    flat = np.array([[5, 5, 5, 20], [5, 5, 20, 5], [5, 5, 5, 5]], dtype=np.float64)
    more = replace(photo, boxes=np.concatenate([flat, photo.boxes]), categories=np.append([1, 3, 1], photo.categories))
    for draw in range(10):
        with_flat, without = (training_sample(p, SIZES, np.random.default_rng(draw)) for p in (more, photo))
        assert np.array_equal(with_flat.boxes, without.boxes) and np.array_equal(with_flat.categories, without.categories)


def test_a_draw_is_a_function_of_its_generator(data):
    photo = data.splits["train"][0]
    a, b, c = (training_sample(photo, SIZES, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(a.image, b.image) and np.array_equal(a.boxes, b.boxes)
    assert a.image.shape != c.image.shape or not np.array_equal(a.image, c.image)


def test_a_val_photo_is_scaled_and_nothing_else(data):
    sample = val_sample(data.splits["val"][0], SIZES)
    assert sample.image.shape == (40, 48, 3)
    photo = data.splits["val"][0]
    left, top = photo.boxes[0, 0] / 48, photo.boxes[0, 1] / 40
    assert sample.boxes[0, 0] - sample.boxes[0, 2] / 2 == pytest.approx(left)
    assert sample.boxes[0, 1] - sample.boxes[0, 3] / 2 == pytest.approx(top)


def test_sides_are_multiples_of_the_patch_and_boxes_still_shares_of_the_whole_photo(data):
    for photo in data.splits["train"]:
        for draw in range(20):
            whole, fitted = (
                training_sample(photo, replace(SIZES, patch=patch), np.random.default_rng(draw)) for patch in (1, 8)
            )
            sides = np.array(fitted.image.shape[:2])
            assert not (sides % 8).any() and np.abs(sides - whole.image.shape[:2]).max() <= 4
            np.testing.assert_allclose(fitted.boxes, whole.boxes, atol=1e-12)
    assert val_sample(data.splits["val"][0], replace(SIZES, patch=14)).image.shape == (42, 42, 3)


def test_a_set_without_boxes_is_one_sentence(prepared):
    with pytest.raises(EvaluationError, match="squares has no boxes in both splits"):
        boxes_of(replace(prepared, annotations={}))


@pytest.mark.parametrize("crowds", [False, True])
def test_a_val_split_without_a_box_to_be_found_is_one_sentence_before_any_training(prepared, tmp_path, crowds):
    tree = json.loads(prepared.annotations["val"].read_text())
    tree["annotations"] = [entry | {"iscrowd": 1} for entry in tree["annotations"]] if crowds else []
    (tmp_path / "empty.json").write_text(json.dumps(tree))
    with pytest.raises(EvaluationError, match=r"empty\.json has no box, those of crowds apart"):
        boxes_of(replace(prepared, annotations=prepared.annotations | {"val": tmp_path / "empty.json"}))


def test_a_photo_that_the_set_lacks_is_one_sentence(prepared):
    fewer = {**prepared.splits, "val": prepared.splits["val"][1:]}
    with pytest.raises(EvaluationError, match=r"names 1\.png, which is not in the prepared set"):
        boxes_of(replace(prepared, splits=fewer))


def test_photos_of_one_name_in_two_folders_are_one_sentence(prepared):
    first, second, *others = prepared.splits["val"]
    alike = (first, replace(second, image=first.image.parent / "more" / first.image.name), *others)
    with pytest.raises(EvaluationError, match=r"instances_val2017\.json names photos of the same name in several folders"):
        boxes_of(replace(prepared, splits={**prepared.splits, "val": alike}))


def test_annotations_without_a_category_are_one_sentence(prepared, tmp_path):
    (tmp_path / "train.json").write_text('{"images": [], "annotations": [], "categories": []}')
    empty = dict.fromkeys(("train", "val"), tmp_path / "train.json")
    with pytest.raises(EvaluationError, match=r"train\.json has no category, which YOLOS needs"):
        boxes_of(replace(prepared, annotations=empty))
