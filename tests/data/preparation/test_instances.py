"""COCO's instances: what would make an average precision wrong in silence is one sentence with the file and the ids."""

import json
import math

import pytest

from cribo.data.preparation.sets.instances import read_instances
from cribo.data.prepared.manifest import DataError


@pytest.fixture
def tree() -> dict:
    """Two images of 30 x 20 px, three objects, two categories."""
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 30, "height": 20} for i in (1, 11)],
        "annotations": [{"id": i, "image_id": 11, "category_id": 18, "bbox": [1, 2, 5.5, 6]} for i in (5, 6, 7)],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }


def written(tmp_path, tree):
    path = tmp_path / "instances_val2017.json"
    path.write_text(json.dumps(tree))
    return path


def test_whole_file_is_given_back(tmp_path, tree):
    assert read_instances(written(tmp_path, tree)) == tree


@pytest.mark.parametrize("box", [[3, 3, 0, 4], [3, 3, 4, 0], [3, 3, 0, 0]])
def test_box_without_width_or_height_passes_as_in_the_published_files(tmp_path, tree, box):
    tree["annotations"][0]["bbox"] = box
    assert read_instances(written(tmp_path, tree))["annotations"][0]["bbox"] == box


@pytest.mark.parametrize("beyond", [[-1.1, 0, 9, 9], [0, -1.1, 9, 9], [0, 0, 31.1, 9], [0, 0, 9, 21.1]])
def test_box_may_leave_its_image_by_one_pixel_on_any_side_and_not_by_more(tmp_path, tree, beyond):
    tree["annotations"][0]["bbox"] = [-1, -1, 32, 22]
    assert read_instances(written(tmp_path, tree)) == tree
    tree["annotations"][0]["bbox"] = beyond
    with pytest.raises(DataError, match=r"5 \(box .* leaves its image of 30x20\)"):
        read_instances(written(tmp_path, tree))


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("annotations", {"image_id": 7}, "has 1 wrong annotations: 7 (no image 7); correct it"),
        ("annotations", {"image_id": "11"}, "7 (image_id '11' is not a whole number)"),
        ("annotations", {"category_id": 7}, "7 (no category 7)"),
        ("annotations", {"category_id": [18]}, "7 (category_id [18] is not a whole number)"),
        ("annotations", {"id": None}, "wrong annotations: entry 3 (id None is not a whole number)"),
        ("annotations", {"id": 5}, "has annotations of the same id: 5; correct it"),
        ("annotations", {"bbox": [25, 2, 9, 6]}, "7 (box [25, 2, 9, 6] leaves its image of 30x20)"),
        ("annotations", {"bbox": [math.nan] * 4}, "7 (bbox [nan, nan, nan, nan] is not four finite numbers)"),
        ("annotations", {"bbox": [1, 1, math.inf, 1]}, "is not four finite numbers"),
        ("annotations", {"bbox": [1, 1, 10**400, 1]}, "is not four finite numbers"),
        ("annotations", {"bbox": [1, 2, 3]}, "7 (bbox [1, 2, 3] is not four finite numbers)"),
        ("annotations", {"bbox": ["1"] * 4}, "is not four finite numbers"),
        ("images", {"id": 1}, "has images of the same id: 1; correct it"),
        ("images", {"id": "11"}, "has 1 wrong images: 11 (id '11' is not a whole number); correct it"),
        ("images", {"id": True}, "(id True is not a whole number)"),
        ("images", {"file_name": ""}, "11 (file_name '' is not text)"),
        ("images", {"file_name": "1.jpg"}, "has images of the same file_name: 1.jpg; correct it"),
        ("images", {"file_name": "../train2017/1.jpg"}, "11 (file_name ../train2017/1.jpg leaves the folder of photos)"),
        ("images", {"file_name": "/1.jpg"}, "11 (file_name /1.jpg leaves the folder of photos)"),
        ("images", {"width": "30"}, "11 (width '30' is not a finite number)"),
        ("categories", {"id": 1}, "has categories of the same id: 1; correct it"),
        ("categories", {"name": "person"}, "has categories of the same name: person; correct it"),
        ("categories", {"name": ""}, "18 (name '' is not text)"),
        ("categories", {"name": 5}, "has 1 wrong categories: 18 (name 5 is not text); correct it"),
    ],
)
def test_wrong_entry_is_one_sentence_with_the_file_and_the_id(tmp_path, tree, kind, change, says):
    tree[kind][-1] |= change
    with pytest.raises(DataError) as error:
        read_instances(written(tmp_path, tree))
    said = str(error.value)
    assert says in said and str(tmp_path / "instances_val2017.json") in said and "\n" not in said and len(said) < 300


@pytest.mark.parametrize(("kind", "key"), [("categories", "name"), ("images", "file_name"), ("annotations", "image_id")])
def test_entry_without_a_key_is_named_by_its_id(tmp_path, tree, kind, key):
    identity = tree[kind][-1]["id"]
    del tree[kind][-1][key]
    with pytest.raises(DataError, match=rf"has 1 wrong {kind}: {identity} \(it has no {key}\)"):
        read_instances(written(tmp_path, tree))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"[]", r"it has no list images"),
        (b'{"images": [], "categories": [], "annotations": 3}', "it has no list annotations"),
        (b'{"images": [], "categories": [], "annotations": []}', "names no image"),
        (b'{"images": [3], "categories": [], "annotations": []}', r"wrong images: entry 1 \(not a group of keys\)"),
        (b'{"images": [', r"is not a file of COCO instances \(Expecting value"),
        (b"\xff\xfe\xfd", "is not a file of COCO instances"),
    ],
)
def test_file_that_holds_something_else_is_one_sentence(tmp_path, raw, says):
    path = tmp_path / "instances_val2017.json"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"instances_val2017\.json .*{says}"):
        read_instances(path)


def test_folder_in_its_place_and_no_file_are_named(tmp_path):
    with pytest.raises(DataError, match=r"instances_val2017\.json is missing"):
        read_instances(tmp_path / "instances_val2017.json")
    (tmp_path / "instances_val2017.json").mkdir()
    with pytest.raises(DataError, match=r"instances_val2017\.json cannot be read \(Is a directory\): a file of COCO"):
        read_instances(tmp_path / "instances_val2017.json")
