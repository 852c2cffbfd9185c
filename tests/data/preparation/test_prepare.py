"""Preparing: the same bytes however often, anywhere, on any number of workers; all or nothing; faults told by file."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cribo.data.preparation import layouts
from cribo.data.preparation.prepare import prepare
from cribo.data.prepared.images import read_image, read_mask
from cribo.data.prepared.manifest import DataError
from cribo.data.prepared.readers import open_set
from tests.data.photos import SCENES, VOC, digest, inside, save_mask


# ---------------------------------------------------------------------------------------------------------- the same bytes
def test_scenes_are_the_same_bytes_for_any_number_of_workers_and_again(tmp_path):
    one = prepare("scenes", SCENES, tmp_path / "one", workers=1)
    first = digest(one)
    assert first == digest(prepare("scenes", SCENES, tmp_path / "two", workers=2))
    assert first == digest(prepare("scenes", SCENES, tmp_path / "one", workers=1))
    assert sorted(p.name for p in one.parent.iterdir()) == ["scenes"]


def test_another_seed_gives_other_scenes(tmp_path):
    prepare("a", SCENES | {"train": 2, "val": 1}, tmp_path, workers=1)
    prepare("b", SCENES | {"train": 2, "val": 1, "seed": 1}, tmp_path, workers=1)
    assert open_set("a", tmp_path).digest != open_set("b", tmp_path).digest


def test_moved_photos_give_the_same_manifest_and_open_from_either_place(tmp_path, photos):
    here = prepare("voc", VOC | {"path": str(photos)}, tmp_path / "here", workers=1)
    moved = tmp_path / "elsewhere"
    shutil.copytree(photos / "VOCdevkit" / "VOC2012", moved)
    there = prepare("voc", VOC | {"path": str(moved)}, tmp_path / "there", workers=2)
    assert digest(here) == digest(there) and set(digest(here)) == {"MANIFEST.json", "index.csv"}
    assert str(tmp_path) not in (here / "MANIFEST.json").read_text() + (here / "index.csv").read_text()
    for path in (photos, moved):
        opened = open_set("voc", tmp_path / "here", path)
        assert [record.id for record in opened.splits["train"]] == ["0", "1", "2", "3"]
        assert all(read_mask(r.mask).shape == (r.height, r.width) for r in opened.splits["val"])


# -------------------------------------------------------------------------------------------------- where the photos are
def test_environment_variable_names_the_folder_or_its_parent(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in (photos, photos.parent):
        monkeypatch.setenv("CRIBO_DATA", str(place))
        prepare("photos", VOC, "data", workers=1)
        assert len(open_set("photos").splits["train"]) == 4


def test_params_yaml_names_the_folder(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRIBO_DATA", raising=False)
    Path("params.yaml").write_text(f"data: {{voc: {{kind: voc, path: '{photos}'}}}}\n")
    prepare("voc", VOC | {"path": str(photos)}, "data", workers=1)
    assert len(open_set("voc").splits["val"]) == 2


def test_missing_folder_names_the_path_and_what_to_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRIBO_DATA", raising=False)
    with pytest.raises(DataError, match=r"set data.voc.path in params.yaml, or the environment variable CRIBO_DATA"):
        prepare("voc", VOC, "data", workers=1)
    with pytest.raises(DataError, match=r"nowhere \(from data.voc.path\) holds no JPEGImages folder"):
        Path("params.yaml").write_text(f"data: {{voc: {{path: '{tmp_path / 'nowhere'}'}}}}\n")
        prepare("voc", VOC, "data", workers=1)
    assert not list(Path("data").glob("*"))


def test_missing_masks_and_lists_are_named(tmp_path, photos):
    with pytest.raises(DataError, match=r"SegmentationClassAug is missing: data.voc.masks must name"):
        prepare("voc", VOC | {"path": str(photos), "masks": "SegmentationClassAug"}, tmp_path / "data", workers=1)
    with pytest.raises(DataError, match=r"train_aug.txt is missing \(lists there: train, val\)"):
        prepare("voc", VOC | {"path": str(photos), "train": "train_aug"}, tmp_path / "data", workers=1)


# ------------------------------------------------------------------------------------------------------------- faults
def _break_truncate(root: Path) -> str:
    os.truncate(root / "JPEGImages/2.jpg", 500)
    return r"1 of the files of voc in .* cannot be used: JPEGImages/2.jpg is corrupt"


def _break_remove(root: Path) -> str:
    (root / "JPEGImages/5.jpg").unlink()
    return r"cannot be read \(No such file or directory\): JPEGImages/5.jpg"


def _break_mask_size(root: Path) -> str:
    save_mask(root, 1, np.zeros((7, 8), np.uint8))
    return r"differ in size from their images: SegmentationClass/1.png \(8x7, image 30x21\)"


def _break_mask_value(root: Path) -> str:
    save_mask(root, 3, np.full((23, 30), 33, np.uint8))
    return r"not classes \(legal: 0-20, 255\): SegmentationClass/3.png \(has 33\)"


def _break_mask_mode(root: Path) -> str:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "SegmentationClass/0.png")
    return r"SegmentationClass/0.png is not a mask of class ids"


def _break_text(root: Path) -> str:
    (root / "JPEGImages/2.jpg").write_text("<html>404</html>")
    return r"JPEGImages/2.jpg is corrupt or not an image"


def _break_empty(root: Path) -> str:
    (root / "JPEGImages/2.jpg").write_bytes(b"")
    return r"JPEGImages/2.jpg is corrupt or not an image"


def _break_zeros(root: Path) -> str:
    raw = (root / "JPEGImages/2.jpg").read_bytes()
    (root / "JPEGImages/2.jpg").write_bytes(bytes(len(raw)))
    return r"JPEGImages/2.jpg is corrupt or not an image"


def _break_folder(root: Path) -> str:
    (root / "JPEGImages/2.jpg").unlink()
    (root / "JPEGImages/2.jpg").mkdir()
    return r"cannot be read \(Is a directory\): JPEGImages/2.jpg"


def _break_link(root: Path) -> str:
    (root / "JPEGImages/2.jpg").unlink()
    (root / "JPEGImages/2.jpg").symlink_to("nowhere")
    return r"cannot be read \(No such file or directory\): JPEGImages/2.jpg"


def _break_bomb(root: Path) -> str:
    Image.new("1", (20_000, 20_000)).save(root / "JPEGImages/2.jpg", "PNG")
    return r"JPEGImages/2.jpg is too large \(Image size \(400000000 pixels\) exceeds"


def _break_mask_truncated(root: Path) -> str:
    os.truncate(root / "SegmentationClass/2.png", (root / "SegmentationClass/2.png").stat().st_size // 2)
    return r"SegmentationClass/2.png is corrupt"


def _break_mask_bits(root: Path) -> str:
    raw = bytearray((root / "SegmentationClass/2.png").read_bytes())
    raw[raw.index(b"IDAT") + 20] ^= 255
    (root / "SegmentationClass/2.png").write_bytes(raw)
    return r"SegmentationClass/2.png is corrupt"


def _break_mask_depth(root: Path) -> str:
    Image.fromarray(np.zeros((22, 30), np.uint16)).save(root / "SegmentationClass/2.png")
    return r"SegmentationClass/2.png is not a mask of class ids: .*mode I;16, and not a palette"


def _break_mask_turned(root: Path) -> str:
    save_mask(root, 2, np.zeros((30, 22), np.uint8))
    return r"SegmentationClass/2.png \(22x30, image 30x22\)"


def _break_list(root: Path) -> str:
    (root / "ImageSets/Segmentation/val.txt").write_text("4\n4\n")
    return r"names images more than once, the first word of a line being the name: 4"


def _break_list_encoding(root: Path) -> str:
    (root / "ImageSets/Segmentation/val.txt").write_text("4\n5\n", encoding="utf-16")
    return r"Segmentation/val.txt is not UTF-8 \(.*\): save it as UTF-8"


FAULTS = [
    *(_break_truncate, _break_remove, _break_text, _break_empty, _break_zeros, _break_folder, _break_link, _break_bomb),
    *(_break_mask_size, _break_mask_value, _break_mask_mode, _break_mask_truncated, _break_mask_bits, _break_mask_depth),
    *(_break_mask_turned, _break_list, _break_list_encoding),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__[7:])
def test_fault_is_told_by_file_and_nothing_is_taken_for_done(tmp_path, photos, fault):
    said = fault(inside(photos))
    with pytest.raises(DataError, match=said) as error:
        prepare("voc", VOC | {"path": str(photos)}, tmp_path / "data", workers=1)
    assert str(error.value).count("\n") == 0 and not list((tmp_path / "data").glob("*"))


def test_broken_files_are_left_out_on_request_and_listed(tmp_path, photos):
    _break_truncate(inside(photos))
    _break_mask_value(inside(photos))
    settings = VOC | {"path": str(photos), "exclude_broken": True}
    opened = open_set("voc", prepare("voc", settings, tmp_path / "data", workers=1).parent, photos)
    assert [record.id for record in opened.splits["train"]] == ["0", "1"]
    assert opened.warnings[2] == "2 images are left out because they cannot be used: JPEGImages/2.jpg, JPEGImages/3.jpg"
    excluded = json.loads((tmp_path / "data/voc/MANIFEST.json").read_text())["excluded"]
    assert set(excluded) == {"JPEGImages/2.jpg", "JPEGImages/3.jpg"} and "(has 33)" in excluded["JPEGImages/3.jpg"]


@pytest.mark.parametrize(("broken", "said"), [((4, 5), "2 val"), (range(4), "4 train"), (range(6), "4 train")], ids=str)
def test_a_split_of_nothing_but_broken_files_is_refused_all_the_same(tmp_path, photos, broken, said):
    for n in broken:
        (inside(photos) / f"JPEGImages/{n}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=f"^{len(broken)} of the files of voc in ") as error:
        prepare("voc", VOC | {"path": str(photos)}, tmp_path / "data", workers=1)
    assert "exclude_broken" not in str(error.value)  # nothing would be left to go on with
    with pytest.raises(DataError, match=rf"none of the {said} images of voc in .* can be used: .*JPEGImages/{broken[0]}"):
        prepare("voc", VOC | {"path": str(photos), "exclude_broken": True}, tmp_path / "data", workers=1)


def test_many_faults_of_one_kind_are_one_sentence(tmp_path, photos):
    for n in range(6):
        save_mask(inside(photos), n, np.full((20 + n, 30), 99, np.uint8))
    with pytest.raises(DataError) as error:
        prepare("voc", VOC | {"path": str(photos)}, tmp_path / "data", workers=1)
    assert str(error.value).count("\n") == 0 and str(error.value).startswith("6 of the files")


def test_photo_in_both_splits_is_a_warning(tmp_path, photos):
    shutil.copy(inside(photos) / "JPEGImages/0.jpg", inside(photos) / "JPEGImages/4.jpg")
    shutil.copy(inside(photos) / "SegmentationClass/0.png", inside(photos) / "SegmentationClass/4.png")
    folder = prepare("voc", VOC | {"path": str(photos)}, tmp_path / "data", workers=1)
    assert "1 images of val are in train too: 4" in (folder / "MANIFEST.json").read_text()


def test_killed_prepare_leaves_nothing_taken_for_done_and_no_worker(tmp_path):
    code = (
        "from cribo.data.preparation.prepare import prepare\n"
        f"if __name__ == '__main__': prepare('scenes', {SCENES | {'train': 100_000}!r}, {str(tmp_path)!r}, workers=2)"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    run = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL, start_new_session=True)
    unfinished = tmp_path / ".scenes.unfinished"
    _wait_for(lambda: any((unfinished / layouts.VOC).glob("JPEGImages/*.jpg")))
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (tmp_path / "scenes").exists()
    _wait_for(lambda: not _group_lives(run.pid))
    prepare("scenes", SCENES | {"train": 3, "val": 1}, tmp_path, workers=1)
    assert not unfinished.exists() and len(open_set("scenes", tmp_path).splits["train"]) == 3


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
        return True
    except ProcessLookupError:
        return False


def _wait_for(happened, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


# ---------------------------------------------------------------------------------------------------------- real photos
@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "train", "masks", "counts"),
    [
        ("voc2012_aug_224", "train_aug", "SegmentationClassAug", (3131, 445)),
        ("voc2012_subset", "train", "SegmentationClass", (422, 436)),
    ],
)
def test_real_voc_prepares_and_opens(tmp_path, folder, train, masks, counts):
    real = os.environ.get("CRIBO_REAL_DATA")
    if not real or not (Path(real) / folder).is_dir():
        pytest.skip(f"no {folder} in the folder that CRIBO_REAL_DATA names")
    settings = VOC | {"path": str(Path(real) / folder), "train": train, "masks": masks}
    prepare("real", settings, tmp_path)
    opened = open_set("real", tmp_path, Path(real) / folder)
    assert (len(opened.splits["train"]), len(opened.splits["val"])) == counts
    for record in opened.splits["val"][:5]:
        assert read_image(record.image).shape == (*read_mask(record.mask).shape, 3) == (record.height, record.width, 3)
