"""Preparing a second time: nothing where nothing changed, and always the bytes of a first time."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cribo.data.preparation import layouts
from cribo.data.preparation.prepare import prepare
from cribo.data.preparation.verify import check
from cribo.data.prepared.manifest import DataError
from cribo.data.prepared.readers import open_set
from tests.data.photos import SCENES, VOC, digest, inside, save_mask


def _prepared_again(settings: dict, data: Path, capsys) -> bool:
    """Whether preparing again found anything to do."""
    capsys.readouterr()
    prepare(settings["kind"], settings, data, workers=1)
    return "nothing to do" not in capsys.readouterr().err


def test_preparing_twice_does_nothing_the_second_time(tmp_path, photos, capsys):
    settings = VOC | {"path": str(photos)}
    before = {p: p.stat().st_mtime_ns for p in prepare("voc", settings, tmp_path / "data", workers=1).rglob("*")}
    assert not _prepared_again(settings, tmp_path / "data", capsys)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "data" / "voc").rglob("*")} == before


def test_scenes_over_what_somebody_spoilt_are_the_bytes_of_a_first_time(tmp_path):
    settings = SCENES | {"train": 3, "val": 1}
    folder = prepare("scenes", settings, tmp_path, workers=1)
    before = digest(folder)
    (folder / layouts.VOC / "ImageSets/Segmentation/train.txt").write_text("")
    (folder / "annotations/mine.json").write_text("{}")
    assert digest(prepare("scenes", settings, tmp_path, workers=1)) == before


def test_photos_are_verified_again_by_changed_code_and_where_the_manifest_came_from_elsewhere(
    tmp_path, photos, capsys, monkeypatch
):
    settings, data = VOC | {"path": str(photos)}, tmp_path / "data"
    prepare("voc", settings, data, workers=1)
    shutil.copytree(data / "voc", tmp_path / "pulled" / "voc")
    assert _prepared_again(settings, tmp_path / "pulled", capsys)
    shutil.copytree(data / "voc", tmp_path / "checked-out")  # as DVC does: newer than photos that changed meanwhile
    (inside(photos) / "JPEGImages/1.jpg").touch()
    shutil.rmtree(data / "voc")
    (tmp_path / "checked-out").rename(data / "voc")
    assert _prepared_again(settings, data, capsys) and not _prepared_again(settings, data, capsys)
    (tmp_path / "code").mkdir()
    monkeypatch.setattr("cribo.data.preparation.prepare.CODE", (tmp_path / "code",))
    assert _prepared_again(settings, data, capsys) and not _prepared_again(settings, data, capsys)
    (tmp_path / "code/labels.py").write_text("VOID = 0")
    assert _prepared_again(settings, data, capsys)


@pytest.mark.parametrize("change", [{}, {"train": "val"}, {"exclude_broken": True}, {"path": "moved"}], ids=str)
def test_over_an_earlier_result_come_the_bytes_of_a_first_time(tmp_path, photos, change):
    prepare("voc", VOC | {"path": str(photos)}, tmp_path / "data", workers=1)
    if "path" in change:
        photos = shutil.move(photos, tmp_path / "moved")
    elif not change:
        shutil.copy(inside(photos) / "JPEGImages/0.jpg", inside(photos) / "JPEGImages/0b.jpg")
    settings = VOC | change | {"path": str(photos)}
    over = digest(prepare("voc", settings, tmp_path / "data", workers=1))
    assert over == digest(prepare("voc", settings, tmp_path / "first", workers=1))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "JPEGImages/1.jpg").touch(),
        lambda root: save_mask(root, 1, np.ones((21, 30), np.uint8)),
        lambda root: (root / "ImageSets/Segmentation/train.txt").write_text("0\n1\n2\n"),
        lambda root: (root / "ImageSets/Segmentation/val.txt").write_text("5\n4\n"),
    ],
    ids=["touched", "mask", "list", "order"],
)
def test_preparing_again_sees_what_changed(tmp_path, photos, capsys, change):
    settings = VOC | {"path": str(photos)}
    prepare("voc", settings, tmp_path / "data", workers=1)
    change(inside(photos))
    assert _prepared_again(settings, tmp_path / "data", capsys)


def test_a_photo_that_changed_while_others_were_verified_is_verified_again(tmp_path, photos, capsys, monkeypatch):
    first, settings = inside(photos) / "JPEGImages/0.jpg", VOC | {"path": str(photos)}

    def check_and_touch(root, rules, classes, entry):
        result = check(root, rules, classes, entry)
        if entry.id == "3":
            first.touch()
        return result

    monkeypatch.setattr("cribo.data.preparation.prepare.check", check_and_touch)
    prepare("voc", settings, tmp_path / "data", workers=1)
    monkeypatch.undo()
    assert _prepared_again(settings, tmp_path / "data", capsys) and not _prepared_again(settings, tmp_path / "data", capsys)


def test_a_file_that_was_left_out_and_is_mended_comes_back(tmp_path, photos):
    settings, path = VOC | {"path": str(photos), "exclude_broken": True}, inside(photos) / "JPEGImages/2.jpg"
    whole = path.read_bytes()
    os.truncate(path, 500)
    prepare("voc", settings, tmp_path / "data", workers=1)
    assert len(open_set("voc", tmp_path / "data", photos).splits["train"]) == 3
    path.write_bytes(whole)
    prepare("voc", settings, tmp_path / "data", workers=1)
    assert len(open_set("voc", tmp_path / "data", photos).splits["train"]) == 4


def test_other_settings_prepare_again_but_not_where_the_photos_are(tmp_path, photos, capsys):
    voc = VOC | {"path": str(photos)}
    prepare("voc", voc, tmp_path / "data", workers=1)
    assert not _prepared_again(voc | {"path": str(photos / "VOCdevkit")}, tmp_path / "data", capsys)
    assert _prepared_again(voc | {"train": "val"}, tmp_path / "data", capsys)


def test_a_link_in_place_of_the_result_gives_way_to_it(tmp_path, photos):
    settings, data = VOC | {"path": str(photos)}, tmp_path / "data"
    data.mkdir()
    for there in ("nowhere", "data"):
        shutil.rmtree(data / "voc", ignore_errors=True)
        (data / "voc").symlink_to(tmp_path / there)
        prepare("voc", settings, data, workers=1)
        (inside(photos) / "JPEGImages/0.jpg").touch()
        prepare("voc", settings, data, workers=1)
        assert not (data / "voc").is_symlink() and {path.name for path in data.iterdir()} == {"voc", ".voc.verified"}


def test_failure_leaves_an_earlier_result_as_it_was(tmp_path, photos):
    settings = VOC | {"path": str(photos)}
    before = digest(prepare("voc", settings, tmp_path / "data", workers=1))
    save_mask(inside(photos), 3, np.full((23, 30), 33, np.uint8))
    with pytest.raises(DataError):
        prepare("voc", settings, tmp_path / "data", workers=1)
    assert digest(tmp_path / "data" / "voc") == before
