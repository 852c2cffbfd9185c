"""Any tree of images: for pretraining and, with a parallel tree of masks, for evaluation as well."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cribo.data.preparation.sets.archive import Archive
from cribo.data.preparation.sets.listing import IMAGES, Entry, Listing
from cribo.data.prepared.manifest import DataError, Place, listed

# Image formats that are not read, among them those of phones and browsers.
OTHERS = frozenset({".avif", ".dng", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jxl", ".pgm", ".ppm", ".tga"})
PUBLISHED: dict[str, int] = {}
PLACE = Place((".",), (".",))
LOOKED = 100  # photos from either end of the list that tell where masks lie
LICENCE = "The owner of the images knows; nothing is known here."


def archives(settings: dict, folder: Path) -> tuple[Archive, ...]:
    return ()


def listing(name: str, settings: dict, root: Path) -> Listing:
    masks, val = settings["masks"], settings["val"]
    if masks and not (root / masks).is_dir():
        raise DataError(f"{root / masks} is missing: data.{name}.masks must name the folder of masks inside {root}")
    found: list[tuple[str, str]] = []
    notes: list[str] = []
    for split, folder, without in (("train", settings["train"], [masks, val]), ("val", val, [masks])):
        if folder and not (root / folder).is_dir():
            raise DataError(f"{root / folder} is missing: data.{name}.{split} must name a folder of photos inside {root}")
        if not folder:
            continue
        images, others = _images(root, folder, [part for part in without if part])
        if others:
            kinds = ", ".join(sorted({_suffix(file) for file in others}))
            notes.append(f"{len(others)} images of {split} of other kinds ({kinds}) are left out: {listed(others)}")
        found += [(split, image) for image in images]
    left_out = _left_out(root, settings, [image for _, image in found]) if masks else ""
    entries = [
        Entry(split, os.path.splitext(image)[0], image, _mask(masks, image, left_out) if masks else "")
        for split, image in found
    ]
    if twice := sorted(i for i, n in Counter((e.split, e.id) for e in entries).items() if n > 1):
        raise DataError(
            f"{root} has images that differ in their suffix only, rename one of each: {listed(i for _, i in twice)}"
        )
    classes = tuple(settings["classes"] or ())
    return Listing(root, entries, classes, LICENCE, f"a folder of images given as data.{name}.path", notes=notes)


def _mask(masks: str, image: str, left_out: str) -> str:
    return f"{masks}/{os.path.splitext(image)[0].removeprefix(left_out)}.png"


def _left_out(root: Path, settings: dict, images: list[str]) -> str:
    """What the paths of photos begin with and those of their masks do not: leading folders that the splits share, or "".

    The mask of images/train/a.jpg is MASKS/images/train/a.png or, with `val: images/val` beside it, MASKS/train/a.png.
    """
    shared = os.path.commonpath([_prefix(settings[split]) for split in ("train", "val") if settings[split]])
    parts = PurePosixPath(shared).parts
    for left_out in ("".join(f"{part}/" for part in parts[:count]) for count in range(len(parts) + 1)):
        if any(
            (root / _mask(settings["masks"], image, left_out)).is_file() for image in [*images[:LOOKED], *images[-LOOKED:]]
        ):
            return left_out
    return ""


def _images(root: Path, folder: str, without: list[str]) -> tuple[list[str], list[str]]:
    """Images below a folder of the root, and images of kinds that are not read; paths relative to the root, sorted.

    Hidden files and folders are left out, and so is all below `without`. Raises DataError if there is no image to read.
    """
    apart = tuple(map(_prefix, without))
    files = (file for file in _files(root, _prefix(folder)) if _suffix(file) in IMAGES | OTHERS)
    seen = sorted((f for f in files if "/." not in f"/{f}" and not f.startswith(apart)), key=lambda f: f.split("/"))
    kept, others = ([file for file in seen if (_suffix(file) in IMAGES) == read] for read in (True, False))
    if not kept:
        raise DataError(f"{root / folder} holds no image ({', '.join(sorted(IMAGES))})")
    return kept, others


def _files(root: Path, inside: str, above: tuple[Path, ...] = ()) -> Iterator[str]:
    """Files below a folder. Links to folders are followed, but not in circles; hidden folders are left out."""
    folder = root / inside
    real = folder.resolve()
    if any(path.is_relative_to(real) for path in above):
        return
    try:
        children = list(os.scandir(folder))  # its entries know which are folders, without a request to the disk for each
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed ({error.strerror}): make it readable, or give a folder of photos beside it"
        ) from None
    for child in children:
        if not (os.path.isdir(child) if child.is_symlink() else child.is_dir()):  # isdir: no error on a link to itself
            yield f"{inside}{child.name}"
        elif not child.name.startswith("."):
            yield from _files(root, f"{inside}{child.name}/", (*above, real))


def _prefix(folder: str) -> str:
    """The prefix of the paths of everything below a folder."""
    path = PurePosixPath(folder).as_posix()
    return "" if path == "." else f"{path}/"


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1].lower()
