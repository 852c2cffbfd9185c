"""Where each data set is published, as which archives, and how they become the folder that is read.

Sizes and digests are those that torchvision (VOC, SBD, ImageNet), GluonCV (ADE20K) and PaddleDetection (COCO) check.
COCO-Stuff's maps and Pascal Context's annotations have no published digest: length and unpacking are all that is checked.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from cribo.data.archives import Bounds, unfinished, unpack
from cribo.data.download import Remote, fetch
from cribo.data.location import INSIDE
from cribo.data.manifest import DataError

GIB = 1 << 30


@dataclass(frozen=True)
class Archive:
    """`makes`: folders or files of which any shows that the archive was unpacked; `into`: the folder to unpack it into.

    `free`: whether its licence allows fetching it unattended. `files`: the most that it may hold.
    """

    remote: Remote
    makes: tuple[str, ...]
    into: str = "."
    free: bool = True
    nested: bool = False
    files: int = 200_000
    unpacked: int = 25 * GIB


def _coco(name: str, size: int, md5: str, *makes: str) -> Archive:
    place = "annotations" if name.startswith("annotations") else "zips"
    return Archive(Remote(name, f"http://images.cocodataset.org/{place}/{name}", size, f"md5:{md5}"), makes)


def _voc(year: int, name: str, md5: str) -> Archive:
    url = f"https://thor.robots.ox.ac.uk/pascal/VOC/voc{year}/{name}"
    inside = f"VOC{year}/JPEGImages"
    return Archive(Remote(name, url, digest=f"md5:{md5}"), (f"VOCdevkit/{inside}", inside, "JPEGImages"))


def _imagenet(name: str, md5: str, makes: tuple[str, ...], into: str, files: int, nested: bool = False) -> Archive:
    remote = Remote(name, "https://image-net.org/download-images", digest=f"md5:{md5}")
    return Archive(remote, makes, into, False, nested, files, 400 * GIB)


COCO_PHOTOS = (
    _coco("train2017.zip", 19336861798, "cced6f7f71b7629ddf16f17bbcfab6b2", "train2017", "images/train2017"),
    _coco("val2017.zip", 815585330, "442b8da7639aecaf257c1dceb8ba8c80", "val2017", "images/val2017"),
)
COCO_OBJECTS = _coco(
    "annotations_trainval2017.zip",
    252907541,
    "f4bbac642086de4f52a3fdda2de5fa2c",
    "annotations/instances_train2017.json",
)
COCO_STUFF = Archive(
    Remote(
        "stuffthingmaps_trainval2017.zip",
        "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip",
    ),
    ("stuffthingmaps/train2017", "annotations/train2017"),
    "stuffthingmaps",
)
SBD = Archive(
    Remote(
        "benchmark.tgz",
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
        digest="md5:82b4d87ceb2ed10f6038a1cba92111cb",
    ),
    ("benchmark_RELEASE",),
)
VOC_2012 = _voc(2012, "VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd")
VOC_2010 = _voc(2010, "VOCtrainval_03-May-2010.tar", "da459979d0c395079b5c75ee67908abb")
CONTEXT_MASKS = ("trainval", "SegmentationClassContext")
CONTEXT = Archive(
    Remote("trainval.tar.gz", "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz"),
    tuple(f"{inside}{masks}" for inside in ("", "VOCdevkit/VOC2010/", "VOC2010/") for masks in CONTEXT_MASKS),
)
ADE20K = Archive(
    Remote(
        "ADEChallengeData2016.zip",
        "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
        digest="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
    ),
    ("ADEChallengeData2016/images/training", "images/training"),
)
IMAGENET = (
    _imagenet(
        "ILSVRC2012_img_train.tar",
        "1d675b47d978889d74fa0da5fadfb00e",
        ("train", "ILSVRC/Data/CLS-LOC/train"),
        "train",
        1_400_000,
        nested=True,
    ),
    _imagenet(
        "ILSVRC2012_img_val.tar",
        "29b22e2961454d5413ddabcf34fc5622",
        ("val", "ILSVRC/Data/CLS-LOC/val"),
        "val",
        60_000,
    ),
)
IMAGENET_DEVKIT = _imagenet(
    "ILSVRC2012_devkit_t12.tar.gz", "fa75699e90414af021442c21a62c3abf", ("ILSVRC2012_devkit_t12",), ".", 1000
)


def needed(settings: dict, folder: Path) -> tuple[Archive, ...]:
    """The archives that a data set of these settings consists of."""
    kind = settings["kind"]
    if kind == "voc":
        return (VOC_2012, _sbd(folder)) if settings["masks"].startswith("benchmark_RELEASE") else (VOC_2012,)
    if kind == "imagenet":
        inside = (path for place in INSIDE[kind][0] for path in (folder / place / "val").glob("*"))
        flat = not any(path.is_dir() and not path.name.startswith(".") for path in inside)
        return (*IMAGENET, IMAGENET_DEVKIT) if flat else IMAGENET
    return {
        "coco": (*COCO_PHOTOS, COCO_OBJECTS),
        "coco_stuff": (*COCO_PHOTOS, COCO_STUFF),
        "pascal_context": (VOC_2010, CONTEXT),
        "ade20k": (ADE20K,),
        "folder": (),
    }[kind]


def _sbd(folder: Path) -> Archive:
    """SBD for the VOC 2012 that is there, which the listing takes, or that is going to be unpacked."""
    here = (inside for inside in INSIDE["voc"][0] if (folder / inside / "JPEGImages").is_dir())
    inside = next(here, "VOCdevkit/VOC2012")
    return replace(SBD, makes=(f"{inside}/benchmark_RELEASE",), into=inside)


def obtain(name: str, settings: dict, folder: Path) -> str:
    """Unpack in `folder` the archives of a data set that lie there and are not unpacked; fetch what is missing, if asked.

    Returns which files to put where for what is still missing, as the end of a sentence; "" if nothing is.

    Raises:
        DataError: an archive is damaged or refused, or cannot be fetched.
    """
    missing, absent = _missing(settings, folder)
    if settings.get("download") or len(absent) < len(missing):
        with _alone(name, folder):  # coco and coco_stuff may be prepared at once from one folder
            missing, absent = _missing(settings, folder)
            if absent and settings["download"]:
                _fetch(absent, folder)
                absent = []
            for archive in missing:
                if archive not in absent:
                    print(f"prepare {name}: unpacking {archive.remote.name}", file=sys.stderr, flush=True)
                    bounds = Bounds(archive.unpacked, archive.files)
                    unpack(folder / archive.remote.name, folder, archive.into, bounds, archive.nested)
    if not absent:
        return ""
    files = "; ".join(f"{archive.remote.name} from {archive.remote.url}" for archive in absent)
    fetched = f", or set data.{name}.download to true" if all(archive.free for archive in absent) else ""
    return f" (or put into {folder}, packed as it is published: {files}{fetched})"


def _missing(settings: dict, folder: Path) -> tuple[list[Archive], list[Archive]]:
    """Archives that are not wholly unpacked, and those of them that are not there either."""
    missing = [archive for archive in needed(settings, folder) if not _unpacked(archive, folder)]
    absent = [archive for archive in missing if not (folder / archive.remote.name).is_file()]
    for archive in absent:
        if (begun := unfinished(Path(archive.remote.name), folder)).exists():
            raise DataError(f"{archive.remote.name} was not wholly unpacked and is gone: put it back, or delete {begun}")
    return missing, absent


def _fetch(absent: list[Archive], folder: Path) -> None:
    for archive in absent:
        if not archive.free:
            raise DataError(
                f"{archive.remote.name} cannot be fetched unattended: accept its terms at {archive.remote.url} "
                f"and put it into {folder}"
            )
    fetch([archive.remote for archive in absent], folder)


@contextmanager
def _alone(name: str, folder: Path) -> Iterator[None]:
    """No two preparations unpack or fetch into one folder at a time; one that dies leaves nothing locked."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".cribo.lock").open("w")
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror}): unpack {name} elsewhere and set data.{name}.path"
        ) from None
    with file:
        try:
            _lock(file, f"prepare {name}: another preparation is at work in {folder}, waiting for it")
        except OSError as error:  # Lustre without `-o flock`, say
            raise DataError(
                f"{folder} is on a disk without file locks ({error.strerror}): have it mounted with them, or unpack {name} "
                f"elsewhere and set data.{name}.path"
            ) from None
        yield


def _lock(file: IO[str], busy: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(busy, file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)


def _unpacked(archive: Archive, folder: Path) -> bool:
    begun = unfinished(Path(archive.remote.name), folder).exists()
    return not begun and any((folder / made).exists() for made in archive.makes)
