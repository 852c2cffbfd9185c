"""A training's state as one file: written as a whole or not at all, and checked for damage."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path

import torch

from cribo.data.prepared.manifest import sync_folder

PARTIAL = ".partial"  # suffix while the file is written


class Damaged(ValueError):
    """A state file differs from what was written."""


def write(path: Path, state: dict) -> None:
    """Write the state under a temporary name, and rename it once all of it is on the disk.

    Raises the system's own OSError if the disk does not take it; other errors pass through unchanged.
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
    """Raise Damaged unless all tensors match the checksums in the file's zip container and torch can parse the file.

    No tensor is held in memory. A system error says nothing about the file and passes through as OSError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        torch.load(path, map_location="meta", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a parser can fail in too many ways to list: headers, lengths, names, versions
        cause = _system_error(error)
        if cause is not None and cause.errno != errno.EINVAL:  # EINVAL: a damaged table points before the start
            raise cause from None
        raise Damaged((str(error) or type(error).__name__).splitlines()[0]) from None
    if broken:
        raise Damaged(f"record {broken} fails its checksum")


def _system_error(error: BaseException | None) -> OSError | None:
    """The OSError that `error` is or stems from, if any; torch's writer reports a full disk as an unexpected position."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
