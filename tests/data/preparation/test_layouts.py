"""The three layouts of generated scenes say the same thing, each as its own readers expect it."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from cribo.data.preparation.layouts import MOSTLY, VOC, voc_palette
from cribo.data.preparation.prepare import prepare
from cribo.data.preparation.scenes import CLASSES, render

SETTINGS = {"kind": "scenes", "seed": 0, "size": 96, "train": 30, "val": 10, "objects": [2, 5]}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return prepare("scenes", SETTINGS, tmp_path_factory.mktemp("data"), workers=1)


@pytest.fixture(scope="module")
def coco(root):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(root / "annotations" / "instances_train.json"))


def test_palette_is_that_of_the_voc_devkit():
    palette = np.array(voc_palette()).reshape(256, 3)
    published = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        4: (0, 0, 128),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {k: tuple(palette[k].tolist()) for k in published} == published
    assert len({tuple(colour) for colour in palette.tolist()}) == 256


def test_voc_lists_name_the_images_and_masks_that_exist(root):
    for split in ("train", "val"):
        ids = (root / VOC / "ImageSets/Segmentation" / f"{split}.txt").read_text().split()
        assert len(ids) == SETTINGS[split]
        for identity in ids:
            assert (root / VOC / f"JPEGImages/{identity}.jpg").is_file()
            with Image.open(root / VOC / f"SegmentationClass/{identity}.png") as mask:
                assert mask.mode == "P" and mask.getpalette()[:768] == voc_palette()


def test_photos_and_masks_are_the_rendered_scene(root):
    scene = render(96, (2, 5), 0, "train", 3)
    mask = np.array(Image.open(root / VOC / "SegmentationClass/train_000003.png"))
    photo = np.array(Image.open(root / VOC / "JPEGImages/train_000003.jpg")).astype(float)
    assert np.array_equal(mask, scene.mask())
    assert np.abs(photo - scene.image).mean() < 8  # JPEG


def test_coco_instances_compose_to_the_voc_mask(root, coco):
    for image in coco.loadImgs(coco.getImgIds()):
        mask = np.array(Image.open(root / VOC / "SegmentationClass" / image["file_name"].replace(".jpg", ".png")))
        composed = np.zeros_like(mask)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            region = coco.annToMask(annotation).astype(bool)
            assert not composed[region].any(), "visible regions overlap"
            composed[region] = annotation["category_id"]
        assert np.array_equal(composed[mask != 255], mask[mask != 255])


def test_coco_boxes_and_areas_are_those_of_the_regions(coco):
    assert 2 * 30 <= len(coco.anns) <= 5 * 30
    for annotation in coco.anns.values():
        rows, columns = np.nonzero(coco.annToMask(annotation))
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box and annotation["area"] == len(rows) and annotation["iscrowd"] == 0


def test_coco_categories_are_the_classes_without_background(coco, root):
    assert {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())} == dict(enumerate(CLASSES[1:], 1))
    tree = json.loads((root / "annotations/instances_val.json").read_text())
    assert len(tree["images"]) == 10 and len({a["id"] for a in tree["annotations"]}) == len(tree["annotations"])


def test_crops_are_squares_of_the_objects_that_are_mostly_visible(root):
    scenes = [render(96, (2, 5), 0, "train", index) for index in range(30)]
    expected = sorted(
        f"{CLASSES[placed.category]}/train_{index:06d}_{number}.jpg"
        for index, scene in enumerate(scenes)
        for number, placed in enumerate(scene.objects, 1)
        if placed.visible >= MOSTLY
    )
    folder = root / "objects/train"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.jpg")) == expected
    assert sorted(p.name for p in folder.iterdir()) == sorted(CLASSES[1:])
    for name in expected:
        with Image.open(folder / name) as crop:
            assert crop.width == crop.height >= 12
