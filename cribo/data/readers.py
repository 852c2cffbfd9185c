"""Prepared data sets, opened: what training and every evaluation see of photos and masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cribo.data import manifest as manifests
from cribo.data.location import locate
from cribo.data.manifest import DataError, listed


@dataclass(frozen=True)
class Record:
    """One image of a split. `mask` holds class ids, 255 = void; None if the data set has no masks. Sizes in px."""

    id: str
    image: Path
    mask: Path | None
    width: int
    height: int


@dataclass(frozen=True)
class PreparedSet:
    """A prepared data set: `splits` has "train" and "val"; `digest`, sha256 of the index, identifies the content."""

    name: str
    classes: tuple[str, ...]
    ignore: int
    digest: str
    splits: dict[str, tuple[Record, ...]]
    licence: str
    source: str


def open_set(name: str, data: str | Path = "data", path: str | Path | None = None) -> PreparedSet:
    """Open `data`/`name` and check that every file it lists is there with the size it had.

    `path` is where the photos of a set that was not generated are; without it params.yaml's data.NAME.path or the
    environment variable CRIBO_DATA says so.

    Raises:
        DataError: not prepared, photos not found, or changed since.
    """
    folder = Path(data) / name
    manifest, rows = manifests.read(folder)
    root = folder if manifest.kind == "scenes" else locate(name, path)
    splits: dict[str, list[Record]] = {split: [] for split in manifest.counts}
    changed = []
    for row in rows:
        for file, size in ((row.image, row.bytes), (row.mask, row.mask_bytes)):
            if file and not _has_size(root / file, size):
                changed.append(file)
        splits[row.split].append(
            Record(row.id, root / row.image, root / row.mask if row.mask else None, row.width, row.height)
        )
    if changed:
        raise DataError(
            f"{len(changed)} files of {name} in {root} changed since `prepare`: "
            f"run dvc repro prepare@{name} ({listed(changed)})"
        )
    return PreparedSet(
        name,
        tuple(manifest.classes),
        manifest.ignore,
        manifest.index,
        {split: tuple(records) for split, records in splits.items()},
        manifest.licence,
        manifest.source,
    )


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
