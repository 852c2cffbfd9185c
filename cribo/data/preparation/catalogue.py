"""Where each data set is published, as which archives, and what shows that one was unpacked.

Sizes and digests are those that torchvision (VOC, SBD, ImageNet), GluonCV (ADE20K) and PaddleDetection (COCO) check.
COCO-Stuff's maps and Pascal Context's annotations have no published digest: length and unpacking are all that is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cribo.data.location import INSIDE
from cribo.data.preparation.download import Remote

GIB = 1 << 30


@dataclass(frozen=True)
class Archive:
    """`makes`: folders or files of which any shows that the archive was unpacked; `into`: the folder to unpack it into.

    `free`: whether its licence allows fetching it unattended. `nested`: tars in it are unpacked, too. `files` and `unpacked`
    (bytes): the most that it may hold.
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
    return Archive(remote, makes, into, free=False, nested=nested, files=files, unpacked=400 * GIB)


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
