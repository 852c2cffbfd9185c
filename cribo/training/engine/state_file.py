"""One file of a training's state: there as a whole or not at all, and damage to it is found."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path

import torch

from cribo.data.prepared.manifest import sync_folder

PARTIAL = ".partial"  # while it is written


class Damaged(ValueError):
    """A state file that is not as it was written."""


def write(path: Path, state: dict) -> None:
    """Write the state under another name, and give it its own when all of it is on the disk.

    Raises OSError, the system's own, when the disk does not take it; any other error as it is.
    """
    partial = path.with_suffix(PARTIAL)
    try:
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except Exception as error:
        partial.unlink(missing_ok=True)
        if (cause := _system_error(error)) is None:
            raise
        raise cause from None


def read(path: Path) -> dict:
    """The state, on the host. Raises Damaged, or OSError when the system cannot read the file."""
    check(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def check(path: Path) -> None:
    """Raise Damaged unless all tensors fit the checksums in the file's zip container, and torch can tell its parts.

    Nothing is held in memory. An error of the system says nothing of the file and goes through as OSError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        torch.load(path, map_location="meta", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # what a parser may stumble over is past listing: headers, lengths, names, versions
        cause = _system_error(error)
        if cause is not None and cause.errno != errno.EINVAL:  # EINVAL: a damaged table points to before the file
            raise cause from None
        raise Damaged((str(error) or type(error).__name__).splitlines()[0]) from None
    if broken:
        raise Damaged(f"record {broken} fails its checksum")


def _system_error(error: BaseException | None) -> OSError | None:
    """The system's error that `error` is or stands before: torch's writer reports a full disk as an unexpected position."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
