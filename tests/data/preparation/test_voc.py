"""VOC's lists and masks: where they are missing, the key or the list is named."""

import pytest

from cribo.data.preparation.sets import voc
from cribo.data.prepared.manifest import DataError
from tests.data.preparation import trees
from tests.data.preparation.trees import SETTINGS


def test_folder_of_masks_that_is_missing_is_named_with_its_key(tmp_path):
    trees.voc(tmp_path)
    root = tmp_path / "VOCdevkit/VOC2012"
    with pytest.raises(DataError, match=rf"^{root}/nowhere is missing: data\.mine\.masks must name the folder of the masks"):
        voc.listing("mine", SETTINGS["voc"] | {"masks": "nowhere"}, root)


@pytest.mark.parametrize("name", ["train_aug", "trainaug"])
def test_missing_list_is_put_together_only_if_it_is_the_augmented_one_and_masks_are_sbds(tmp_path, name):
    trees.voc(tmp_path)
    root = tmp_path / "VOCdevkit/VOC2012"
    with pytest.raises(DataError, match=rf"/{name}\.txt is missing \(lists there: train, val\)$"):
        voc.listing("voc", SETTINGS["voc"] | {"train": name}, root)
    trees.sbd(tmp_path)
    settings = SETTINGS["voc"] | {"masks": "benchmark_RELEASE/dataset/cls"}
    with pytest.raises(DataError, match=r"/mine\.txt is missing"):
        voc.listing("voc", settings | {"train": "mine"}, root)
    found = voc.listing("voc", settings | {"train": name}, root)
    assert [entry.split for entry in found.entries] == 8 * ["train"] + 2 * ["val"]
    assert found.published == {"train": 10582, "val": 1449}
