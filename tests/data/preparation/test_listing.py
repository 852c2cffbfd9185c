"""Names of files and lists of images as people and disks leave them: read the same everywhere, or refused with the place."""

from pathlib import Path

import pytest

from cribo.data.preparation.sets.listing import IMAGES, first_folder, lines_in, names_in
from cribo.data.prepared.manifest import DataError


def test_files_come_in_order_of_their_names_whatever_order_the_disk_has(tmp_path, monkeypatch):
    names = [f"{n}.jpg" for n in "cadb"]
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([folder / name for name in names]))
    assert names_in(tmp_path, IMAGES) == sorted(names)


def test_hidden_files_and_those_of_other_kinds_are_not_listed(tmp_path):
    listed = ["a.JPG", "b.jpeg", "c.png", "d.bmp", "e.webp", "f.tif", "g.tiff"]
    for name in (*listed, "._a.jpg", "notes.txt"):  # ._a.jpg: what macOS leaves beside a.jpg
        (tmp_path / name).touch()
    assert names_in(tmp_path, IMAGES) == listed


def test_folder_that_is_missing_or_holds_nothing_to_list_is_named(tmp_path):
    with pytest.raises(DataError, match=f"^{tmp_path}/none is missing$"):
        names_in(tmp_path / "none", IMAGES)
    with pytest.raises(DataError, match=rf"^{tmp_path} holds no \.jpg or \.png file: put some into it, or remove it$"):
        names_in(tmp_path, frozenset({".png", ".jpg"}))
    with pytest.raises(DataError, match=f"^{tmp_path} holds none of a, b/c$"):
        first_folder(tmp_path, "a", "b/c")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"is missing \(lists there: other, trainval\)"),
        (b" \n\n", "names no image"),
        ("café\n".encode("latin-1"), r"is not UTF-8 \(.*\): save it as UTF-8"),
        (b"b 1\na\nb\na -1\nc\n", r"names images more than once, .* being the name: a, b \(2 in all\)"),
    ],
)
def test_list_that_names_no_images_or_some_twice_is_one_sentence(tmp_path, content, says):
    for name in ("trainval.txt", "other.txt", "notes.md"):
        (tmp_path / name).touch()
    path = tmp_path / "train.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{path} {says}$"):
        lines_in(path)


def test_place_without_any_list_is_said_to_have_none(tmp_path):
    with pytest.raises(DataError, match=r"train\.txt is missing \(lists there: none\)$"):
        lines_in(tmp_path / "train.txt")
