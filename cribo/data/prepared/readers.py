"""Opens prepared data sets: the photos, masks, classes and objects that training and every evaluation see."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cribo.data.prepared import manifest as manifests
from cribo.data.prepared.location import locate
from cribo.data.prepared.manifest import DataError, listed
from cribo.data.prepared.records import Record, Records

__all__ = ["PreparedSet", "Record", "open_set"]

SPLITS = ("train", "val")
CROPS = {split: f"objects/{split}" for split in SPLITS}  # of generated scenes: square crops of objects


@dataclass(frozen=True)
class PreparedSet:
    """A prepared data set: `splits` has "train" and "val"; `digest` identifies photos, masks and mask rules.

    `labelled`: images with a class of the whole image, by split: the photos of an image-folder set, the crops of scenes.
    `annotations`: COCO's JSON of boxes and masks by split; its images match the records by file name.
    `warnings`: what a table made from this set must say.
    """

    name: str
    classes: tuple[str, ...]
    ignore: int
    digest: str
    splits: dict[str, Sequence[Record]]
    licence: str
    source: str
    labelled: dict[str, Sequence[Record]] = field(default_factory=dict)
    annotations: dict[str, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def open_set(name: str, data: str | Path = "data", path: str | Path | None = None) -> PreparedSet:
    """Open `data`/`name` and check that every file it lists still exists with its recorded size.

    Only the first process of a run on each machine checks; if it fails, torchrun ends the others. Sixty-four processes that
    each ask for a million files would be a burden to a shared disk.

    `path` is the folder of the photos of a set that was not generated; by default, params.yaml's data.NAME.path or the
    environment variable CRIBO_DATA gives it.

    Raises:
        DataError: the set is not prepared, or its photos are not found or have changed since.
    """
    folder = Path(data) / name
    manifest, rows = manifests.read(folder)
    root = locate(name, manifest.place, path) if manifest.place else folder
    classes = {label: number for number, label in enumerate(manifest.classes)}
    records = {split: Records(root, manifest.rules, classes) for split in (*SPLITS, *CROPS.values())}
    checks = os.environ.get("LOCAL_RANK", "0") == "0"
    files = [(about["file"], about["bytes"]) for about in manifest.annotations.values()]
    for row in rows:
        records[row.split].add(row)
        if checks:
            files += [(file, size) for file, size in ((row.image, row.bytes), (row.mask, row.mask_bytes)) if file]
    if checks and (changed := _changed(root, files)):
        raise DataError(
            f"{len(changed)} file{'s' * (len(changed) != 1)} of {name} in {root} changed since `prepare`: "
            f"run `dvc repro -f -s prepare@{name}` ({listed(changed)})"
        )
    labelled = {split: records[CROPS[split]] or records[split] for split in SPLITS}
    return PreparedSet(
        name,
        tuple(manifest.classes),
        manifest.ignore,
        manifest.digest,
        {split: records[split] for split in SPLITS},
        manifest.licence,
        manifest.source,
        {split: images for split, images in labelled.items() if images and images[0].label is not None},
        {split: root / about["file"] for split, about in manifest.annotations.items()},
        tuple(manifest.warnings),
    )


def _changed(root: Path, files: Sequence[tuple[str, int]]) -> list[str]:
    """Files that are missing or have another size. Shared disks answer slowly, so many requests run at once."""
    blocks = [files[start : start + 1000] for start in range(0, len(files), 1000)]
    with ThreadPoolExecutor(16) as pool:
        return [file for changed in pool.map(lambda block: _wrong_size(root, block), blocks) for file in changed]


def _wrong_size(root: Path, files: Sequence[tuple[str, int]]) -> list[str]:
    found = []
    for file, size in files:
        try:
            if os.stat(f"{root}/{file}").st_size != size:
                found.append(file)
        except OSError:
            found.append(file)
    return found
