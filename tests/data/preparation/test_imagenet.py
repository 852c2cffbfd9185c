"""ImageNet's classes and labels: by folder or by the n-th line, and nothing else in its folders is one."""

import pytest

from cribo.data.preparation.sets import imagenet
from cribo.data.prepared.manifest import DataError
from tests.data.preparation import trees


def test_hidden_folders_and_files_beside_the_folders_of_classes_are_no_classes(tmp_path):
    trees.imagenet(tmp_path)
    for split in ("train", "val"):
        (tmp_path / split / ".ipynb_checkpoints").mkdir()
        (tmp_path / split / "synsets.txt").touch()
    found = imagenet.listing("imagenet", {}, tmp_path)
    assert found.classes == ["n01440764", "n02102040"] and len(found.entries) == 6 + 4


def test_train_without_folders_of_classes_says_where_photos_belong(tmp_path):
    trees.photo(tmp_path / "train/a.JPEG")
    with pytest.raises(DataError, match=rf"^{tmp_path}/train has no folders of classes: .* into train/CLASS/$"):
        imagenet.listing("imagenet", {}, tmp_path)


def test_classes_of_val_that_train_lacks_are_named_in_order(tmp_path):
    trees.imagenet(tmp_path)
    for name in "cadb":
        trees.photo(tmp_path / f"val/{name}/x.JPEG")
    with pytest.raises(DataError, match=rf"^{tmp_path}/val has classes that train lacks: a, b, c, d$"):
        imagenet.listing("imagenet", {}, tmp_path)


def test_flat_val_of_another_number_of_images_than_labels_is_refused(tmp_path):
    trees.imagenet(tmp_path, flat=True)
    (tmp_path / "val/ILSVRC2012_val_00000002.JPEG").unlink()
    with pytest.raises(DataError, match=rf"^{tmp_path}/val has 3 images and .*ground_truth\.txt 4 labels$"):
        imagenet.listing("imagenet", {}, tmp_path)


@pytest.mark.parametrize("inside", [".", "ILSVRC/Data/CLS-LOC"])
def test_the_development_kit_is_asked_for_where_val_is_flat_or_missing_and_not_where_it_has_folders(tmp_path, inside):
    assert imagenet.LABELS in imagenet.archives({}, tmp_path)
    trees.imagenet(tmp_path / inside)
    assert imagenet.archives({}, tmp_path) == (imagenet.TRAIN, imagenet.VAL)
    trees.imagenet(tmp_path / "flat" / inside, flat=True)
    assert imagenet.LABELS in imagenet.archives({}, tmp_path / "flat")
