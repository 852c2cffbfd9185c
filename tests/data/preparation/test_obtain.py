"""From archives as they are published, and from a server, to a prepared data set; nothing is unpacked or fetched twice."""

import dataclasses
import errno
import os
import shutil
import tarfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cribo.data.preparation import archives, obtain
from cribo.data.preparation.prepare import prepare
from cribo.data.preparation.sets import SETS, ade20k
from cribo.data.prepared.manifest import DataError
from cribo.data.prepared.readers import open_set
from tests.data.preparation import trees
from tests.data.preparation.trees import SETTINGS


def pack(path: Path, folder: Path, names: list[str]) -> Path:
    """A tar or zip of some of what is in a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(p for name in names for p in (folder / name).rglob("*") if p.is_file()):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
            for name in names:
                archive.add(folder / name, name)
    return path


def published(kind: str, work: Path, out: Path) -> None:
    """The archives of a data set, as they are published, in `out`."""
    trees.MAKE[kind](work)
    if kind == "coco_stuff":
        pack(out / "stuffthingmaps_trainval2017.zip", work / "stuffthingmaps", ["train2017", "val2017"])
    if kind in ("coco", "coco_stuff"):
        for split in ("train2017", "val2017"):
            pack(out / f"{split}.zip", work, [split])
    if kind == "coco":
        pack(out / "annotations_trainval2017.zip", work, ["annotations"])
    if kind == "ade20k":
        pack(out / "ADEChallengeData2016.zip", work, ["ADEChallengeData2016"])
    if kind == "voc":
        trees.sbd(work)
        (work / "VOCdevkit/VOC2012/benchmark_RELEASE").rename(work / "benchmark_RELEASE")
        pack(out / "benchmark.tgz", work, ["benchmark_RELEASE"])
        pack(out / "VOCtrainval_11-May-2012.tar", work, ["VOCdevkit"])
    if kind == "pascal_context":
        pack(out / "VOCtrainval_03-May-2010.tar", work, ["VOCdevkit"])
        pack(out / "trainval.tar.gz", work, ["trainval"])
    if kind == "imagenet":
        trees.imagenet(work / "flat", flat=True)
        for folder in sorted((work / "train").iterdir()):
            pack(work / "tars" / f"{folder.name}.tar", folder, [p.name for p in folder.iterdir()])
        pack(out / "ILSVRC2012_img_train.tar", work / "tars", [p.name for p in sorted((work / "tars").iterdir())])
        val = work / "flat/val"
        pack(out / "ILSVRC2012_img_val.tar", val, [p.name for p in sorted(val.iterdir())])
        pack(out / "ILSVRC2012_devkit_t12.tar.gz", work / "flat", ["ILSVRC2012_devkit_t12"])


COUNTS = {
    "voc": (8, 2),
    "pascal_context": (3, 2),
    "ade20k": (3, 2),
    "coco": (3, 2),
    "coco_stuff": (3, 2),
    "imagenet": (6, 4),
}
AUG = {"train": "train_aug", "masks": "benchmark_RELEASE/dataset/cls"}


def settings_of(kind: str, folder: Path, **more) -> dict:
    return SETTINGS[kind] | (AUG if kind == "voc" else {}) | {"path": str(folder)} | more


def counts_of(kind: str, folder: Path, data: Path) -> tuple[int, int]:
    opened = open_set(kind, data, folder)
    return len(opened.splits["train"]), len(opened.splits["val"])


@pytest.mark.parametrize("kind", COUNTS)
def test_published_archives_become_a_prepared_set_and_are_unpacked_once(tmp_path, kind, capsys):
    published(kind, tmp_path / "work", tmp_path / "in")
    settings = settings_of(kind, tmp_path / "in")
    prepare(kind, settings, tmp_path / "data", workers=1)
    assert counts_of(kind, tmp_path / "in", tmp_path / "data") == COUNTS[kind]
    assert "unpacking" in capsys.readouterr().err
    prepare(kind, settings, tmp_path / "data", workers=1)
    said = capsys.readouterr().err
    assert "unpacking" not in said and "nothing to do" in said


@pytest.mark.parametrize("given", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_sbd_is_unpacked_where_the_masks_are_looked_for_whatever_part_of_voc_is_given(tmp_path, given):
    work, path = tmp_path / "work", tmp_path / "in" / given
    published("voc", work, tmp_path / "packed")
    (tmp_path / "in").mkdir()
    (work / "VOCdevkit").rename(tmp_path / "in/VOCdevkit")
    with pytest.raises(DataError, match=f"put into {path}, packed as it is published: benchmark.tgz"):
        prepare("voc", settings_of("voc", path), tmp_path / "data", workers=1)
    (tmp_path / "packed/benchmark.tgz").rename(path / "benchmark.tgz")
    prepare("voc", settings_of("voc", path), tmp_path / "data", workers=1)
    assert counts_of("voc", path, tmp_path / "data") == COUNTS["voc"]
    assert (tmp_path / "in/VOCdevkit/VOC2012/benchmark_RELEASE").is_dir()


@pytest.mark.parametrize("given", [".", "VOCdevkit", "VOCdevkit/VOC2010"])
def test_context_as_pngs_leaves_its_archive_alone_wherever_the_pngs_are(tmp_path, given, capsys):
    trees.pascal_context(tmp_path)
    inside, path = tmp_path / "VOCdevkit/VOC2010", tmp_path / given
    pack(path / "trainval.tar.gz", tmp_path, ["trainval"])
    for mat in (tmp_path / "trainval").glob("*.mat"):
        trees.png(inside / f"SegmentationClassContext/{mat.stem}.png", trees.values(0, (7, 8)))
    shutil.rmtree(tmp_path / "trainval")
    prepare("pascal_context", settings_of("pascal_context", path), tmp_path / "data", workers=1)
    record = open_set("pascal_context", tmp_path / "data", path).splits["train"][0]
    assert record.mask.path.suffix == ".png" and "unpacking" not in capsys.readouterr().err


def test_imagenet_as_kaggle_has_it_takes_its_labels_from_the_kit_beside_it(tmp_path):
    work, inside = tmp_path / "work", tmp_path / "in/ILSVRC/Data/CLS-LOC"
    trees.imagenet(work, flat=True)
    inside.mkdir(parents=True)
    for split in ("train", "val"):
        (work / split).rename(inside / split)
    settings = settings_of("imagenet", tmp_path / "in")
    with pytest.raises(DataError, match=f"put into {tmp_path / 'in'}, .*: ILSVRC2012_devkit_t12.tar.gz"):
        prepare("imagenet", settings, tmp_path / "data", workers=1)
    pack(tmp_path / "in/ILSVRC2012_devkit_t12.tar.gz", work, ["ILSVRC2012_devkit_t12"])
    prepare("imagenet", settings, tmp_path / "data", workers=1)
    assert counts_of("imagenet", tmp_path / "in", tmp_path / "data") == COUNTS["imagenet"]


def test_killed_while_unpacking_and_run_again_it_completes(tmp_path, monkeypatch):
    published("ade20k", tmp_path / "work", tmp_path / "in")
    settings = settings_of("ade20k", tmp_path / "in")
    real, moved = archives.os.replace, []

    def killed_at_the_third(source, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(archives.os, "replace", killed_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            prepare("ade20k", settings, tmp_path / "data", workers=1)
    assert len(moved) == 3 and not (tmp_path / "data/ade20k").exists()
    prepare("ade20k", settings, tmp_path / "data", workers=1)
    assert counts_of("ade20k", tmp_path / "in", tmp_path / "data") == COUNTS["ade20k"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_disk_without_locks_is_a_sentence(tmp_path, monkeypatch, number):
    published("ade20k", tmp_path / "work", tmp_path / "in")

    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(obtain.fcntl, "flock", refused)
    with pytest.raises(DataError, match=r"in is on a disk without file locks \(.*set data.ade20k.path") as error:
        prepare("ade20k", settings_of("ade20k", tmp_path / "in"), tmp_path / "data", workers=1)
    assert str(error.value).count("\n") == 0


def test_download_writes_nothing_where_nothing_is_missing(tmp_path, monkeypatch):
    trees.ade20k(tmp_path / "in")
    monkeypatch.setattr(obtain, "_alone", lambda *_: pytest.fail("it would lock a folder that may be read-only"))
    assert obtain.obtain("ade20k", settings_of("ade20k", tmp_path / "in", download=True), tmp_path / "in") == ""


def test_archive_that_vanished_half_unpacked_is_a_sentence(tmp_path):
    published("ade20k", tmp_path / "work", tmp_path / "in")
    archive = tmp_path / "in/ADEChallengeData2016.zip"
    archives.unfinished(archive, tmp_path / "in").mkdir()
    archive.unlink()
    with pytest.raises(DataError, match=r"ADEChallengeData2016.zip was not wholly unpacked and is gone: put it back"):
        prepare("ade20k", settings_of("ade20k", tmp_path / "in"), tmp_path / "data", workers=1)


@pytest.mark.parametrize("kind", COUNTS)
def test_missing_archives_are_named_with_the_place_to_put_them(tmp_path, kind):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError) as error:
        prepare(kind, settings_of(kind, tmp_path / "in"), tmp_path / "data", workers=1)
    said = str(error.value)
    assert said.count("\n") == 0 and f"put into {tmp_path / 'in'}, packed as it is published: " in said
    names = [archive.remote.name for archive in SETS[kind].archives(settings_of(kind, tmp_path), tmp_path / "in")]
    assert len(names) == {"voc": 2, "pascal_context": 2, "ade20k": 1}.get(kind, 3) and all(name in said for name in names)
    assert (f"or set data.{kind}.download to true" in said) == (kind != "imagenet")


def test_imagenet_is_never_fetched_unattended(tmp_path):
    with pytest.raises(
        DataError, match=r"img_train.tar cannot be fetched unattended: accept its terms at https://image-net"
    ):
        prepare("imagenet", settings_of("imagenet", tmp_path / "in", download=True), tmp_path / "data", workers=1)


def test_download_unpack_prepare_in_one_go(tmp_path, monkeypatch):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    published("ade20k", tmp_path / "work", tmp_path / "www")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "www"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/ADEChallengeData2016.zip"
    remote = dataclasses.replace(ade20k.ARCHIVE.remote, url=url, digest=None)
    monkeypatch.setattr(ade20k, "ARCHIVE", dataclasses.replace(ade20k.ARCHIVE, remote=remote))
    prepare("ade20k", settings_of("ade20k", tmp_path / "in", download=True), tmp_path / "data", workers=1)
    server.shutdown()
    server.server_close()
    assert counts_of("ade20k", tmp_path / "in", tmp_path / "data") == COUNTS["ade20k"]


def test_two_data_sets_in_one_folder_unpack_what_they_share_once(tmp_path, monkeypatch):
    published("coco", tmp_path / "a", tmp_path / "in")
    published("coco_stuff", tmp_path / "b", tmp_path / "in")
    unpacked, real, folder = [], obtain.unpack, tmp_path / "in"

    def slow(archive, *rest):
        unpacked.append(archive.name)
        time.sleep(0.3)
        real(archive, *rest)

    monkeypatch.setattr(obtain, "unpack", slow)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(obtain.obtain, kind, settings_of(kind, folder), folder) for kind in ("coco", "coco_stuff")]
    assert [job.result() for job in jobs] == ["", ""]
    assert sorted(unpacked) == sorted(
        ["annotations_trainval2017.zip", "stuffthingmaps_trainval2017.zip", "train2017.zip", "val2017.zip"]
    )
