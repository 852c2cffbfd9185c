"""Photos in one folder a class, as ImageNet has them: ROOT/{train,val}/CLASS/photo. For image-level evaluation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cribo.data import manifest as manifests
from cribo.data.manifest import DataError

SPLITS = ("train", "val")
PHOTOS = {".jpg", ".jpeg", ".png"}  # in any case; ImageNet's are called .JPEG


@dataclass(frozen=True)
class LabelledImages:
    """`splits` has "train" and "val": (photo, index into `classes`), by class and then by name.

    `digest` is the sha256 of all names and sizes in bytes: it identifies the content as far as a listing can.
    """

    name: str
    classes: tuple[str, ...]
    digest: str
    splits: dict[str, tuple[tuple[Path, int], ...]]


def open_class_folders(name: str, root: str | Path) -> LabelledImages:
    """List the photos below `root`. Classes are the folders of the train split, in order of their names.

    Raises:
        DataError: a split is missing, a class has no training photo, or val has a class that train lacks.
    """
    root = Path(root)
    for split in SPLITS:
        if not (root / split).is_dir():
            raise DataError(f"{root / split} is missing: {name} needs photos in {root}/{{train,val}}/CLASS/")
    classes = _folders(root / "train")
    if surplus := sorted(set(_folders(root / "val")) - set(classes)):
        raise DataError(f"{root / 'val'} has the class {surplus[0]} that {root / 'train'} lacks: nothing could predict it")
    sha, splits = hashlib.sha256(), {}
    for split in SPLITS:
        found: list[tuple[Path, int]] = []
        for label, folder in enumerate(classes):
            photos = _photos(root / split / folder)
            if split == "train" and not photos:
                raise DataError(f"{root / split / folder} holds no photo: remove the folder or fill it")
            found += [(photo, label) for photo in photos]
        if not found:
            raise DataError(f"{root / split} holds no photo ({', '.join(sorted(PHOTOS))}) in a class folder")
        for photo, _ in found:
            sha.update(f"{photo.relative_to(root).as_posix()} {photo.stat().st_size}\n".encode())
        splits[split] = tuple(found)
    return LabelledImages(name, tuple(classes), sha.hexdigest(), splits)


def open_labelled(name: str, data: str | Path = "data") -> LabelledImages:
    """The photos of `data`/`name` with a class each: crops of single objects in generated scenes.

    Raises:
        DataError: not prepared, or a kind of data whose photos have no class.
    """
    folder = Path(data) / name
    manifest, _ = manifests.read(folder)
    if manifest.kind != "scenes":
        raise DataError(f"data.{name} is of kind {manifest.kind}, whose photos have no class each: k-NN cannot judge on it")
    return open_class_folders(name, folder / "objects")


def _folders(split: Path) -> list[str]:
    return sorted(path.name for path in split.iterdir() if path.is_dir())


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []  # a class that val does not show
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTOS)
