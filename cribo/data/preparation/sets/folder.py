"""Any tree of images: to pretrain on, or, with a tree of masks of the same shape, to judge on as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cribo.data.preparation.sets.listing import IMAGES, Entry, Listing
from cribo.data.prepared.manifest import DataError, listed

OTHERS = frozenset({".avif", ".gif", ".heic", ".heif", ".jp2", ".ppm", ".tga"})  # images that are not read
LICENCE = "The owner of the images knows; nothing is known here."


def listing(name: str, settings: dict, root: Path) -> Listing:
    masks, val = settings["masks"], settings["val"]
    if masks and not (root / masks).is_dir():
        raise DataError(f"{root / masks} is missing: data.{name}.masks must name the folder of masks inside {root}")
    entries: list[Entry] = []
    notes: list[str] = []
    for split, folder, without in (("train", settings["train"], [masks, val]), ("val", val, [masks])):
        if folder and not (root / folder).is_dir():
            raise DataError(f"{root / folder} is missing: data.{name}.{split} must name a folder of photos inside {root}")
        if not folder:
            continue
        images, others = _images(root / folder, root, [part for part in without if part])
        if others:
            kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
            notes.append(
                f"{len(others)} images of {split} of other kinds ({kinds}) are left out: {listed(map(str, others))}"
            )
        for image in images:
            identity = image.with_suffix("").as_posix()
            mask = f"{masks}/{identity}.png" if masks else ""
            entries.append(Entry(split, identity, image.as_posix(), mask))
    if twice := sorted(i for i, n in Counter((e.split, e.id) for e in entries).items() if n > 1):
        raise DataError(
            f"{root} has images that differ in their suffix only, rename one of each: {listed(i for _, i in twice)}"
        )
    classes = tuple(settings["classes"] or ())
    return Listing(root, entries, classes, LICENCE, f"a folder of images given as data.{name}.path", notes=notes)


def _images(start: Path, root: Path, without: list[str]) -> tuple[list[Path], list[Path]]:
    """Images below `start`, relative to the root and sorted, and those of kinds that are not read.

    Hidden ones and those below `without` do not count.
    """
    apart, known = [Path(part) for part in without], IMAGES | OTHERS
    seen = [
        path
        for path in sorted(p.relative_to(root) for p in _files(start) if p.suffix.lower() in known)
        if not any(part.startswith(".") for part in path.parts) and not any(path.is_relative_to(part) for part in apart)
    ]
    kept, others = ([path for path in seen if (path.suffix.lower() in IMAGES) == read] for read in (True, False))
    if not kept:
        raise DataError(f"{start} holds no image ({', '.join(sorted(IMAGES))})")
    return kept, others


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Files below a folder, through links to folders but not in circles; hidden folders are left out."""
    real = folder.resolve()
    if any(path.is_relative_to(real) for path in above):
        return
    try:
        children = list(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed ({error.strerror}): make it readable, or give a folder of photos beside it"
        ) from None
    for child in children:
        if not child.is_dir():
            yield child
        elif not child.name.startswith("."):
            yield from _files(child, (*above, real))
