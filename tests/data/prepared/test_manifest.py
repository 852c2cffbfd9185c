"""Index and manifest: what is written is read back, and a change in either is noticed."""

import json
from dataclasses import asdict, replace

import pytest

from cribo.data.prepared import manifest
from cribo.data.prepared.manifest import DataError, Manifest, Place, Row

ROWS = [
    Row("train", "a", "JPEGImages/a.jpg", "Masks/a.png", 5, 4, 100, 20, "0" * 64, "1" * 64),
    Row("val", 'odd, "name"', "JPEGImages/ü.jpg", "", 7, 9, 3, 0, "2" * 64, "", "cat"),
]


def _manifest(rows=ROWS) -> Manifest:
    return Manifest(
        "some",
        "voc",
        {"train": "train"},
        ["background", "cat"],
        255,
        {"train": {"images": 1}},
        manifest.sha256(manifest.index_bytes(rows)),
        "licence",
        "source",
        [],
        {"train": {"file": "annotations/a.json", "bytes": 1, "sha256": "2" * 64}},
        {"JPEGImages/b.jpg": "cannot be used"},
        {".mat": bytes([255, 0, 1])},
        Place(("VOC2012", "."), ("JPEGImages",)),
    )


OF_A_FEW = json.dumps({"name": "x", "rules": {}, "place": None})
WRONG_PLACE = json.dumps(asdict(_manifest()) | {"rules": {}, "place": {"inside": ["."], "signs": [1]}})
NO_RULE = json.dumps(asdict(_manifest()) | {"rules": {".mat": ""}})
WRONG_RULE = json.dumps(asdict(_manifest()) | {"rules": {".mat": "0 256"}})


def test_round_trip(tmp_path):
    manifest.write(tmp_path, _manifest(), ROWS)
    read, rows = manifest.read(tmp_path)
    assert list(rows) == ROWS and read.version
    assert (read.index, read.rules, read.place) == (_manifest().index, _manifest().rules, _manifest().place)


def test_another_rule_is_another_content_and_without_rules_the_index_says_it_all():
    own, other = (replace(_manifest(), rules={".mat": bytes(ids)}) for ids in ([255, 0, 1], [255, 1, 0]))
    assert len({own.digest, other.digest, _manifest().index}) == 3
    assert replace(own, rules={}).digest == _manifest().index


@pytest.mark.parametrize("new", ["rules", "place"])
def test_a_manifest_without_rules_or_place_is_said_to_be_of_an_earlier_version(tmp_path, new):
    manifest.write(tmp_path, _manifest(), ROWS)
    tree = json.loads((tmp_path / "MANIFEST.json").read_text())
    del tree[new]
    (tmp_path / "MANIFEST.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"MANIFEST\.json is of an earlier version: run `dvc repro"):
        manifest.read(tmp_path)


def test_index_of_other_content_is_refused(tmp_path):
    manifest.write(tmp_path, _manifest(), ROWS)
    (tmp_path / "index.csv").write_bytes(manifest.index_bytes(ROWS[:1]))
    with pytest.raises(DataError, match=r"index.csv is not the index that MANIFEST.json names"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("file", ["MANIFEST.json", "index.csv"])
def test_missing_file_says_what_to_run(tmp_path, file):
    folder = tmp_path / "scenes"
    folder.mkdir()
    manifest.write(folder, _manifest(), ROWS)
    (folder / file).unlink()
    with pytest.raises(DataError, match=rf"{file} is missing: run `dvc repro prepare@scenes`"):
        manifest.read(folder)


@pytest.mark.parametrize("damage", ["{", OF_A_FEW, "[]", WRONG_RULE, NO_RULE, WRONG_PLACE])
def test_damaged_manifest_is_a_sentence(tmp_path, damage):
    manifest.write(tmp_path, _manifest(), ROWS)
    (tmp_path / "MANIFEST.json").write_text(damage)
    with pytest.raises(DataError, match=r"MANIFEST.json is damaged"):
        manifest.read(tmp_path)


def test_long_lists_name_the_first_twenty_and_count_the_rest():
    said = manifest.listed(f"f{n}" for n in range(25))
    assert said.startswith("f0, f1, ") and "f19" in said and "f20" not in said and said.endswith("and 5 more")
