"""Fetches the archives of a data set if asked, and unpacks them once into the folder that is read."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cribo.data.preparation.archives import Bounds, unfinished, unpack
from cribo.data.preparation.download import fetch
from cribo.data.preparation.sets import SETS
from cribo.data.preparation.sets.archive import Archive
from cribo.data.prepared.manifest import DataError


def obtain(name: str, settings: dict, folder: Path) -> str:
    """Unpack the archives of a data set that lie in `folder` and are not yet unpacked; fetch missing ones if asked.

    Returns the end of a sentence that says which missing files to put where; "" if nothing is missing.

    Raises:
        DataError: an archive is damaged or refused, or cannot be fetched.
    """
    missing, absent = _missing(settings, folder)
    if missing and (settings.get("download") or len(absent) < len(missing)):
        with _alone(name, folder):  # coco and coco_stuff may be prepared from one folder at once
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
    """Archives that are not completely unpacked, and those among them that are not in `folder` either."""
    missing = [archive for archive in SETS[settings["kind"]].archives(settings, folder) if not _unpacked(archive, folder)]
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
    """Let only one preparation at a time fetch or unpack into a folder; a process that dies leaves nothing locked."""
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
        except OSError as error:  # e.g. Lustre without `-o flock`
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
