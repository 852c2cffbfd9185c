"""Every published layout, generated in small: prepared, verified, opened, with the class ids that its rules give."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from cribo.data.preparation.prepare import prepare
from cribo.data.preparation.sets import SETS
from cribo.data.prepared.images import read_image, read_mask
from cribo.data.prepared.manifest import DataError
from cribo.data.prepared.readers import open_set
from cribo.params.data import DATA_KINDS
from tests.data.preparation import trees
from tests.data.preparation.trees import MAKE, SETTINGS, photo, png, values

COUNTS = {
    "voc": (4, 2),
    "pascal_context": (3, 2),
    "ade20k": (3, 2),
    "coco": (3, 2),
    "coco_stuff": (3, 2),
    "imagenet": (6, 4),
    "folder": (3, 1),
}


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def opened(root: Path, kind: str, **settings):
    prepare(kind, SETTINGS[kind] | settings | {"path": str(root)}, root.parent / "data", workers=1)
    return open_set(kind, root.parent / "data", root)


def manifest_of(root: Path, kind: str) -> dict:
    return json.loads((root.parent / "data" / kind / "MANIFEST.json").read_text())


def ids_of(records) -> set[int]:
    return {int(value) for record in records for value in np.unique(read_mask(record.mask))}


@pytest.mark.parametrize("kind", MAKE)
def test_layout_as_published_is_prepared_and_opened(root, kind):
    MAKE[kind](root)
    data = opened(root, kind)
    assert (len(data.splits["train"]), len(data.splits["val"])) == COUNTS[kind]
    for record in (*data.splits["train"], *data.splits["val"]):
        assert read_image(record.image).shape == (record.height, record.width, 3) == (20, 30, 3)
    assert (
        data.licence
        and data.source
        and sorted(p.name for p in (root.parent / "data" / kind).iterdir())
        == [
            "MANIFEST.json",
            "index.csv",
        ]
    )


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("voc", {0, 1, 20, 255}),
        ("pascal_context", {0, 1, 34, 59}),  # 1 and 431 are no class of the 59, 2 aeroplane, 258 motorbike, 458 wood
        ("ade20k", {255, 0, 149}),
        ("coco_stuff", {0, 11, 170, 255}),
    ],
)
def test_masks_are_read_as_class_ids(root, kind, ids):
    MAKE[kind](root)
    data = opened(root, kind)
    assert ids_of(data.splits["train"]) == ids_of(data.splits["val"]) == ids
    shown = {name for name, images in manifest_of(root, kind)["counts"]["train"]["images_with"].items() if images}
    assert shown == {data.classes[k] for k in ids - {255}}


def test_every_kind_of_data_set_is_complete_documented_and_tried_here(root):
    assert SETS.keys() == MAKE.keys() == COUNTS.keys() == DATA_KINDS.keys() - {"scenes"}
    rows = Path("docs/data.md").read_text().splitlines()
    for kind, module in SETS.items():
        assert {"PUBLISHED", "PLACE", "archives", "listing"} <= vars(module).keys(), f"{module.__name__} is not complete"
        row = (f"| `{kind}` |", f"| {' / '.join(f'{images:,}' for images in module.PUBLISHED.values())} |")
        found = any(line.startswith(row[0]) and line.endswith(row[1]) for line in rows)
        assert found or kind == "folder", f"docs/data.md has no row of {kind} with its numbers of images"


def test_published_counts_that_differ_are_a_warning_and_an_error_under_strict_before_any_image_is_decoded(root, monkeypatch):
    trees.ade20k(root)
    data = opened(root, "ade20k")
    assert data.warnings[:2] == ("train has 3 images, the paper's has 20210", "val has 2 images, the paper's has 2000")
    monkeypatch.setattr("cribo.data.preparation.prepare.check", None)
    with pytest.raises(DataError, match=r"not the set that the paper used, and data.ade20k.strict is on: train has 3"):
        opened(root, "ade20k", strict=True)


def test_published_counts_that_agree_pass_under_strict(root, monkeypatch):
    trees.ade20k(root)
    monkeypatch.setattr("cribo.data.preparation.sets.ade20k.PUBLISHED", {"train": 3, "val": 2})
    assert not [said for said in opened(root, "ade20k", strict=True).warnings if "paper" in said]
    next((root / "ADEChallengeData2016/images/training").iterdir()).write_bytes(b"")
    with pytest.raises(DataError, match=r"strict is on: train has 2 images, the paper's has 3"):
        opened(root, "ade20k", strict=True, exclude_broken=True)
    monkeypatch.setattr("cribo.data.preparation.sets.ade20k.PUBLISHED", {"train": 2, "val": 2})
    assert len(opened(root, "ade20k", strict=True, exclude_broken=True).splits["train"]) == 2


# ---------------------------------------------------------------------------------------------------------- VOC and SBD
def test_sbd_makes_the_list_and_vocs_own_masks_come_first(root):
    trees.voc(root)
    trees.sbd(root)
    data = opened(root, "voc", train="train_aug", masks="benchmark_RELEASE/dataset/cls")
    ids = [record.id for record in data.splits["train"]]
    assert ids == [*(f"2007_{n:06d}" for n in range(4)), *(f"2009_{n:06d}" for n in range(4))]  # without VOC's val
    masks = {record.id: record.mask.path.suffix for record in data.splits["train"]}
    assert masks["2007_000000"] == ".png" and masks["2009_000000"] == ".mat"
    assert ids_of(data.splits["train"][4:]) == {0, 5} and all(r.mask.path.suffix == ".png" for r in data.splits["val"])


@pytest.mark.parametrize(("listing", "warned"), [("train", True), ("trainval", True), ("mine", False)])
def test_vocs_own_lists_are_compared_with_the_papers_augmented_one_and_somebodys_list_with_none(root, listing, warned):
    trees.voc(root)
    lists = root / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    (lists / f"{listing}.txt").write_text((lists / "train.txt").read_text())
    said = opened(root, "voc", train=listing).warnings
    assert ("train has 4 images, the paper's has 10582" in said) == warned


def test_deeplabs_list_of_paths_is_read_as_ids(root):
    trees.voc(root)
    inside = root / "VOCdevkit/VOC2012"
    (inside / "SegmentationClass").rename(inside / "SegmentationClassAug")
    ids = [f"2007_{n:06d}" for n in range(4)]
    lines = [f"/JPEGImages/{i}.jpg /SegmentationClassAug/{i}.png" for i in ids]
    trees.text(inside / "ImageSets/Segmentation/train_aug.txt", lines)
    data = opened(root, "voc", train="train_aug", masks="SegmentationClassAug")
    assert [record.id for record in data.splits["train"]] == ids


def test_a_list_as_windows_editors_save_it_names_the_same_images(root):
    trees.voc(root)
    path = root / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt"
    path.write_text(path.read_text(), encoding="utf-8-sig", newline="\r\n")
    assert [record.id for record in opened(root, "voc").splits["train"]] == [f"2007_{n:06d}" for n in range(4)]


# ------------------------------------------------------------------------------------------------------- Pascal Context
def test_context_as_pngs_gives_the_same_class_ids_as_the_published_files(root):
    trees.pascal_context(root)
    before = [read_mask(r.mask) for r in opened(root, "pascal_context").splits["train"]]
    voc = root / "VOCdevkit/VOC2010"
    for record, ids in zip(open_set("pascal_context", root.parent / "data", root).splits["train"], before, strict=True):
        trees.png(voc / f"SegmentationClassContext/{record.id}.png", ids)
    for record in open_set("pascal_context", root.parent / "data", root).splits["val"]:
        trees.png(voc / f"SegmentationClassContext/{record.id}.png", read_mask(record.mask))
    shutil.rmtree(root / "trainval")
    after = [read_mask(r.mask) for r in opened(root, "pascal_context").splits["train"]]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


# ------------------------------------------------------------------------------------------------------------------ COCO
def test_coco_gives_annotations_and_says_which_photos_they_leave_out(root):
    trees.coco(root)
    data = opened(root, "coco")
    assert data.classes == ("person", "dog") and data.annotations["val"] == root / "annotations/instances_val2017.json"
    assert [int(r.id) for r in data.splits["train"]] == [1, 11, 21] and data.splits["train"][0].mask is None
    assert "1 photos of train2017 are not in annotations/instances_train2017.json and left out" in data.warnings


def test_coco_over_an_earlier_result_counts_the_photos_left_out_anew(root):
    trees.coco(root)
    opened(root, "coco")
    (root / "train2017" / f"{999:012d}.jpg").unlink()
    assert not [said for said in opened(root, "coco").warnings if "left out" in said and "train2017" in said]


def test_coco_annotations_that_changed_since_are_noticed(root):
    trees.coco(root)
    path = opened(root, "coco").annotations["train"]
    path.write_text(path.read_text() + " ")
    with pytest.raises(DataError, match=r"instances_train2017.json"):
        open_set("coco", root.parent / "data", root)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda tree: tree["annotations"][0].update(image_id=7), "no image 7"),
        (lambda tree: tree["images"][1].update(width=31), r"stated 31x20"),
        (lambda tree: tree["categories"].pop(0), "different categories"),
    ],
)
def test_wrong_coco_annotations_are_one_sentence_with_the_file(root, edit, says):
    trees.coco(root)
    path = root / "annotations/instances_val2017.json"
    tree = json.loads(path.read_text())
    edit(tree)
    path.write_text(json.dumps(tree))
    with pytest.raises(DataError, match=says) as error:
        opened(root, "coco")
    assert str(error.value).count("\n") == 0 and "val2017" in str(error.value)


# -------------------------------------------------------------------------------------------------------------- ImageNet
@pytest.mark.parametrize("flat", [False, True])
def test_imagenet_labels_come_from_folders_or_from_the_development_kit(root, flat):
    trees.imagenet(root, flat=flat)
    data = opened(root, "imagenet")
    assert data.classes == ("n01440764", "n02102040")
    assert [r.label for r in data.splits["val"]] == ([1, 0, 1, 0] if flat else [0, 0, 1, 1])
    assert all(data.labelled[split] is data.splits[split] for split in ("train", "val"))
    assert manifest_of(root, "imagenet")["counts"]["val"]["images_with"] == {
        "n01440764": 2,
        "n02102040": 2,
    }


def test_hidden_folder_in_a_flat_val_is_no_class(root):
    trees.imagenet(root, flat=True)
    (root / "val/.ipynb_checkpoints").mkdir()
    assert [r.label for r in opened(root, "imagenet").splits["val"]] == [1, 0, 1, 0]


def test_flat_val_without_labels_says_what_is_missing(root):
    trees.imagenet(root, flat=True)
    shutil.rmtree(root / "ILSVRC2012_devkit_t12")
    with pytest.raises(DataError, match=r"ground_truth.txt is missing.*ILSVRC2012_devkit_t12.tar.gz from https"):
        opened(root, "imagenet")


@pytest.mark.parametrize("raw", [b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"no file of MATLAB's" * 20])
def test_damaged_classes_of_the_development_kit_are_one_sentence(root, raw):
    trees.imagenet(root, flat=True)
    (root / "ILSVRC2012_devkit_t12/data/meta.mat").write_bytes(raw)
    with pytest.raises(DataError, match=r"data/meta\.mat (is corrupt or not a MATLAB file|lacks the classes).*: unpack"):
        opened(root, "imagenet")


@pytest.mark.parametrize("tree", [{"other": 1}, {"synsets": np.zeros((2, 2))}, {"synsets": "text"}])
def test_other_file_in_place_of_the_classes_of_the_development_kit_is_one_sentence(root, tree):
    trees.imagenet(root, flat=True)
    savemat(root / "ILSVRC2012_devkit_t12/data/meta.mat", tree)
    with pytest.raises(DataError, match=r"meta\.mat lacks the classes of ImageNet 2012: unpack ILSVRC2012_devkit_t12"):
        opened(root, "imagenet")


@pytest.mark.parametrize("line", [b"7", b"cat", b"1 2", b"", b"\xff"])
def test_line_of_the_ground_truth_that_is_no_class_is_named(root, line):
    trees.imagenet(root, flat=True)
    (root / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt").write_bytes(b"2\n" + line + b"\n2\n1\n")
    says = r"ground_truth\.txt:2: '.*' is not a number of a class in .*meta\.mat: unpack"
    with pytest.raises(DataError, match=says) as error:
        opened(root, "imagenet")
    assert "\n" not in str(error.value)


def test_class_of_val_that_train_lacks_is_refused(root):
    trees.imagenet(root)
    trees.photo(root / "val/n09999999/x.JPEG")
    with pytest.raises(DataError, match="classes that train lacks: n09999999"):
        opened(root, "imagenet")


# ---------------------------------------------------------------------------------------------------------------- folder
def test_folder_takes_every_image_below_it_but_hidden_and_held_out_ones(root):
    trees.folder(root)
    data = opened(root, "folder")
    assert not data.labelled and [r.id for r in data.splits["train"]] == ["a", "deep/b", "deep/er/c"] and data.classes == ()
    assert [r.id for r in data.splits["val"]] == ["held/d"] and data.splits["val"][0].mask is None
    assert len(opened(root, "folder", val=None).splits["train"]) == 4


def test_folder_follows_links_to_folders_but_not_in_circles(root, tmp_path):
    trees.folder(root)
    trees.photo(tmp_path / "disk/e.jpg")
    (root / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/back").symlink_to(root)
    (tmp_path / "disk/itself").symlink_to("itself")
    (root / "deep/above").symlink_to(tmp_path)
    (root / "deep/er/again").symlink_to(root / "linked")
    ids = [record.id for record in opened(root, "folder").splits["train"]]
    assert ids == ["a", "deep/b", "deep/er/again/e", "deep/er/c", "linked/e"]


def test_folder_that_cannot_be_listed_is_named_and_not_passed_over(root, monkeypatch):
    trees.folder(root)
    real = os.scandir

    def denied(path: Path):
        if path.name == "er":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match=r"deep/er cannot be listed \(Permission denied\)"):
        opened(root, "folder")


def test_folder_with_masks_is_a_data_set_to_judge_on(root):
    trees.folder(root, masks=True)
    data = opened(root, "folder", masks="labels", classes=["ground", "thing"])
    assert ids_of(data.splits["train"]) == {0, 1, 255} and len(data.splits["train"]) == 3
    with pytest.raises(DataError, match=r"hold values that are not classes \(legal: 0, 255\).*labels/a.png \(has 1\)"):
        opened(root, "folder", masks="labels", classes=["ground"])


@pytest.mark.parametrize(
    ("train", "val", "masks"),
    [
        ("images/train", "images/val", ("labels/images/train", "labels/images/val")),
        ("images/train", "images/val", ("labels/train", "labels/val")),
        ("images/train", None, ("labels/images/train",)),
        ("images/train", None, ("labels/train",)),
        ("images/train", None, ("labels",)),
        ("images", "images/val", ("labels/train", "labels/val")),
    ],
)
def test_masks_of_a_folder_may_leave_out_leading_folders_that_its_splits_share(root, train, val, masks):
    (root / "labels/images").mkdir(parents=True)  # a folder alone is no mask
    for n, (split, beside) in enumerate(zip(("train", "val"), masks, strict=False)):
        for name in ("b", "c"):
            photo(root / f"images/{split}/deep/{name}.jpg", n)
        photo(root / f"images/{split}/a.jpg", n)
        for name in ("deep/b", "deep/c", "a"):
            png(root / f"{beside}/{name}.png", values(n, (0, 1, 255)))
    data = opened(root, "folder", train=train, val=val, masks="labels", classes=["ground", "thing"])
    assert [len(data.splits[split]) for split in ("train", "val")] == [3, 3 if val else 0]
    assert ids_of([*data.splits["train"], *data.splits["val"]]) == {0, 1, 255}


@pytest.mark.parametrize("key", ["train", "val", "masks"])
def test_folder_whose_parts_are_not_there_names_their_key(root, key):
    trees.folder(root, masks=True)
    with pytest.raises(DataError, match=rf"nowhere is missing: data\.\w+\.{key} must name"):
        opened(root, "folder", **{"masks": "labels", "classes": ["ground", "thing"], key: "nowhere"})


def test_images_of_a_folder_that_are_of_no_known_kind_are_named_and_left_out(root):
    trees.photo(root / "a.jpg", 0)
    Image.new("RGB", (30, 20)).save(root / "b.gif")
    Image.new("RGB", (30, 20)).save(root / "c.jfif")
    trees.text(root / "notes.txt", ["no image"])
    assert len(opened(root, "folder", val=None).splits["train"]) == 1
    (note,) = (said for said in manifest_of(root, "folder")["warnings"] if "left out" in said)
    assert note == "2 images of train of other kinds (.gif, .jfif) are left out: b.gif, c.jfif"


def test_folder_without_images_says_what_counts_as_one(root):
    trees.text(root / "a.txt", ["no image"])
    with pytest.raises(DataError, match=r"holds no image \(.*\.jpg"):
        opened(root, "folder")


@pytest.mark.parametrize(("odd", "shown"), [(b"caf\xe9.jpg", r"caf\\udce9.jpg"), (b"a\rb.jpg", r"a\\rb.jpg")])
def test_name_that_no_index_can_hold_is_told_before_any_image_is_decoded(root, monkeypatch, odd, shown):
    trees.folder(root)
    (root / "a.jpg").rename(root / os.fsdecode(odd))
    monkeypatch.setattr("cribo.data.preparation.prepare.check", None)
    says = rf"1 names of files of folder in .* are not UTF-8 or have a carriage return, rename them: {shown}$"
    with pytest.raises(DataError, match=says) as error:
        opened(root, "folder")
    str(error.value).encode()


# ---------------------------------------------------------------------------------------------------------- real samples
REAL = {
    "coco": ("coco_mini", (209, 206)),
    "coco_stuff": ("coco_mini", (13, 8)),
    "ade20k": ("ade20k_mini", (7, 9)),
    "imagenet": ("imagenette_mini", (1500, 500)),
}


@pytest.mark.real
@pytest.mark.parametrize("kind", REAL)
def test_real_sample_is_prepared_and_opened(tmp_path, kind):
    real = os.environ.get("CRIBO_REAL_DATA")
    folder, counts = REAL[kind]
    if not real or not (Path(real) / folder).is_dir():
        pytest.skip(f"no {folder} in the folder that CRIBO_REAL_DATA names")
    prepare(kind, SETTINGS[kind] | {"path": str(Path(real) / folder)}, tmp_path)
    data = open_set(kind, tmp_path, Path(real) / folder)
    assert (len(data.splits["train"]), len(data.splits["val"])) == counts
    assert len(data.classes) == {"coco": 80, "coco_stuff": 171, "ade20k": 150, "imagenet": 10}[kind]
    for record in data.splits["val"][:5]:
        assert read_image(record.image).shape == (record.height, record.width, 3)
        if kind in ("coco_stuff", "ade20k"):
            ids = read_mask(record.mask)
            assert ids.shape == (record.height, record.width) and set(np.unique(ids)) <= {*range(len(data.classes)), 255}
