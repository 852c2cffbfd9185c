"""What is known of the published archives: digests, as torchvision has them too, and room for all that they hold."""

import pytest
from torchvision.datasets import imagenet as their_imagenet
from torchvision.datasets.sbd import SBDataset
from torchvision.datasets.voc import DATASET_YEAR_DICT

from cribo.data.preparation.sets import ade20k, coco, coco_stuff, imagenet, pascal_context, voc

VOCS = [DATASET_YEAR_DICT[year] for year in ("2012", "2010")]
THEIRS = [*((v["filename"], v["md5"]) for v in VOCS), (SBDataset.filename, SBDataset.md5)]
THEIRS += their_imagenet.ARCHIVE_META.values()
OURS = (voc.PHOTOS, pascal_context.PHOTOS, voc.SBD, imagenet.TRAIN, imagenet.VAL, imagenet.LABELS)


def test_names_and_digests_of_archives_are_torchvisions():
    assert [(archive.remote.name, archive.remote.digest) for archive in OURS] == [(n, f"md5:{md5}") for n, md5 in THEIRS]


def test_archives_without_a_digest_are_the_two_that_have_none_published():
    every = (*OURS, ade20k.ARCHIVE, *coco.PHOTOS, coco.OBJECTS, coco_stuff.MAPS, pascal_context.MASKS)
    assert [archive for archive in every if archive.remote.digest is None] == [coco_stuff.MAPS, pascal_context.MASKS]


@pytest.mark.parametrize(
    ("archive", "files", "size"),
    [
        (coco.PHOTOS[0], 118_287, coco.PHOTOS[0].remote.bytes),  # photos do not shrink in a zip
        (coco_stuff.MAPS, 123_287, 0),
        (imagenet.TRAIN, 1_281_167, 147_897_477_120),
        (imagenet.VAL, 50_000, 6_744_924_160),
    ],
    ids=lambda value: value.remote.name if hasattr(value, "remote") else "",
)
def test_the_largest_archives_have_room_for_what_they_hold(archive, files, size):
    assert archive.files > files and archive.unpacked > size
