"""Prepared data sets opened, images and masks read: the one way to pixels for training and every evaluation."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from cribo.data import manifest as manifests
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
    from cribo.data import voc  # voc reads photos through this module

    folder = Path(data) / name
    manifest, rows = manifests.read(folder)
    root = folder if manifest.kind == "scenes" else voc.locate(name, path)
    splits: dict[str, list[Record]] = {split: [] for split in manifest.counts}
    changed = []
    for row in rows:
        for file, size in ((row.image, row.bytes), (row.mask, row.mask_bytes)):
            if file and not _has_size(root / file, size):
                changed.append(file)
        splits[row.split].append(Record(row.id, root / row.image, root / row.mask if row.mask else None, row.width,
                                        row.height))
    if changed:
        raise DataError(f"{len(changed)} files of {name} in {root} changed since `prepare`: "
                        f"run dvc repro prepare@{name} ({listed(changed)})")
    return PreparedSet(name, tuple(manifest.classes), manifest.ignore, manifest.index,
                       {split: tuple(records) for split, records in splits.items()}, manifest.licence, manifest.source)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def read_image(path: str | Path) -> np.ndarray:
    """Pixels of a JPEG or PNG, uint8 [H, W, 3] RGB, as stored (an EXIF orientation is not applied).

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    return decode_image(_bytes(path), path)


def read_mask(path: str | Path) -> np.ndarray:
    """Class ids of a palette or gray PNG, uint8 [H, W]: the values stored, not the palette's colours.

    Raises:
        DataError: the file is missing, truncated, no image, or in colour.
    """
    return decode_mask(_bytes(path), path)


def decode_image(raw: bytes, path: str | Path) -> np.ndarray:
    """`read_image` of bytes; `path` is for messages."""
    if raw[:2] == b"\xff\xd8":
        try:
            return simplejpeg.decode_jpeg(raw, "RGB")
        except ValueError:
            pass  # CMYK, or bytes too many that other readers forgive: Pillow decides whether the image is complete
    with _opened(raw, path) as image:
        return np.array(image.convert("RGB"))


def decode_mask(raw: bytes, path: str | Path) -> np.ndarray:
    """`read_mask` of bytes; `path` is for messages."""
    with _opened(raw, path) as image:
        if image.mode not in ("P", "L"):
            raise DataError(f"{path} is no mask of class ids: a palette or 8-bit gray PNG is needed, "
                            f"not mode {image.mode}")
        return np.array(image)


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def _opened(raw: bytes, path: str | Path) -> Image.Image:
    """The image in full: Pillow reads lazily, and a truncated file shows only then."""
    try:
        image = Image.open(io.BytesIO(raw))
        image.load()
        return image
    except UnidentifiedImageError:
        raise DataError(f"{path} is corrupt or no image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is corrupt ({error})") from None
