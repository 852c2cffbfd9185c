"""Prepared data sets, opened: what training and every evaluation see of photos, masks, classes and objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cribo.data import manifest as manifests
from cribo.data.images import Mask
from cribo.data.labels import rule_of
from cribo.data.location import locate
from cribo.data.manifest import DataError, listed


@dataclass(frozen=True)
class Record:
    """One image of a split, sizes in px. `read_mask(record.mask)` gives class ids, 255 = void.

    `mask` is None if the data set has no masks, `label` (the class of the whole image) if it has no such classes.
    """

    id: str
    image: Path
    mask: Mask | Path | None
    width: int
    height: int
    label: int | None = None


@dataclass(frozen=True)
class PreparedSet:
    """A prepared data set: `splits` has "train" and "val"; `digest`, sha256 of the index, identifies the content.

    `labelled`: images that have a class as a whole, by split: the photos of an image-folder set, the crops of scenes.
    `annotations`: COCO's JSON of boxes and masks by split; `int(record.id)` is its image's id, or its file name says it.
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
    """Open `data`/`name` and check that every file it lists is there with the size it had.

    `path` is where the photos of a set that was not generated are; without it params.yaml's data.NAME.path or the
    environment variable CRIBO_DATA says so.

    Raises:
        DataError: not prepared, photos not found, or changed since.
    """
    folder = Path(data) / name
    manifest, rows = manifests.read(folder)
    root = folder if manifest.kind == "scenes" else locate(name, manifest.kind, path)
    files = [(file, size) for row in rows for file, size in ((row.image, row.bytes), (row.mask, row.mask_bytes)) if file]
    files += [(about["file"], about["bytes"]) for about in manifest.annotations.values()]
    if changed := _changed(root, files):
        raise DataError(
            f"{len(changed)} files of {name} in {root} changed since `prepare`: "
            f"run dvc repro prepare@{name} ({listed(changed)})"
        )
    classes = {label: number for number, label in enumerate(manifest.classes)}
    splits: dict[str, list[Record]] = {"train": [], "val": []}
    labelled: dict[str, list[Record]] = {"train": [], "val": []}
    for row in rows:
        mask = Mask(root / row.mask, rule_of(manifest.kind, row.mask)) if row.mask else None
        label = classes[row.label] if row.label else None
        record = Record(row.id, root / row.image, mask, row.width, row.height, label)
        crop, _, split = row.split.rpartition("/")
        if not crop:
            splits[split].append(record)
        if label is not None:
            labelled[split].append(record)
    return PreparedSet(
        name,
        tuple(manifest.classes),
        manifest.ignore,
        manifest.index,
        {split: tuple(records) for split, records in splits.items()},
        manifest.licence,
        manifest.source,
        {split: tuple(records) for split, records in labelled.items() if records},
        {split: root / about["file"] for split, about in manifest.annotations.items()},
        tuple(manifest.warnings),
    )


def _changed(root: Path, files: Sequence[tuple[str, int]]) -> list[str]:
    """Files that are missing or have another size. Shared disks answer slowly: many questions at a time."""
    with ThreadPoolExecutor(16) as pool:
        same: Iterable[bool] = pool.map(lambda file: _has_size(root / file[0], file[1]), files)
        return [file for (file, _), good in zip(files, same, strict=True) if not good]


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
