"""Unpacks archives without trusting them: nothing outside the folder, nothing but files and folders, within bounds.

An archive is unpacked into a hidden folder `.ARCHIVE.unpacking`, which is removed once all its files are in place. While
the hidden folder exists, the archive does not count as unpacked.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from cribo.data.prepared.manifest import DataError, sync_folder

CHUNK = 1 << 20
BLOCK = 512  # bytes per block of a tar
# Tar headers with long names and other text on members, which are read into memory whole, and their largest size in bytes.
WORDS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
LONGEST = 1 << 20


class _Wordy(Exception):
    """A tar with headers that no data set needs."""


# What libraries raise for damaged archives.
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, RuntimeError),
    _Wordy,
)


class _Member(tarfile.TarInfo):
    """A tar member whose headers are bounded before they are read: a few compressed kilobytes could fill the memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type == tarfile.GNUTYPE_SPARSE:  # its map of data blocks may be endless
            raise _Wordy("it holds a sparse file")
        if self.size < 0 or (self.type in WORDS and self.size > LONGEST):
            raise _Wordy(f"it has a header of {self.size} bytes")
        return super()._proc_member(tar)


@dataclass
class Bounds:
    """The bytes and files that an archive may still unpack to; shows progress every 5 s."""

    bytes: int = 1 << 40
    files: int = 3_000_000
    done: int = 0
    told: float = field(default_factory=time.monotonic)

    def take(self, archive: Path, name: str, size: int) -> None:
        self.bytes -= size
        if self.bytes < 0:
            raise DataError(f"{archive} is refused: with {name} it unpacks to more bytes than it may")

    def count(self, archive: Path) -> None:
        self.files -= 1
        if self.files < 0:
            raise DataError(f"{archive} is refused: it holds more files than it may")
        self.done += 1
        if time.monotonic() - self.told >= 5:
            print(f"unpacking {archive.name}: {self.done} files", file=sys.stderr, flush=True)
            self.told = time.monotonic()


@dataclass
class _Guard:
    """Checks and writes the members of one archive, inside its folder and within its bounds."""

    archive: Path
    folder: Path
    bounds: Bounds

    def refuse(self, name: str, why: str) -> DataError:
        return DataError(f"{self.archive} is refused: its member {name!r} {why}")

    def place(self, name: str) -> Path:
        """The path for a member. Raises DataError for every name that could lead elsewhere."""
        path = PurePosixPath(name)
        if not name or "\0" in name or "\\" in name or any(len(part.encode(errors="replace")) > 255 for part in path.parts):
            raise self.refuse(name[:60], "has no sensible name")
        if path.is_absolute() or any(":" in part for part in path.parts[:1]):
            raise self.refuse(name, "has an absolute path")
        if ".." in path.parts:
            raise self.refuse(name, "leaves its folder")
        return self.folder / path

    def make_folder(self, name: str, path: Path | None = None) -> None:
        """Make the folder that a member is, or `path`, the folder that a file member goes into."""
        if path is None:
            path = self.place(name)
            self.bounds.count(self.archive)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise self.refuse(name, "is a file and a folder at once") from None

    def write(self, name: str, size: int, content: IO[bytes]) -> None:
        """Write a file member. Raises DataError if it has more or fewer bytes than it states."""
        path = self.place(name)
        if path.exists():
            raise self.refuse(name, "occurs twice")
        self.bounds.count(self.archive)
        self.bounds.take(self.archive, name, size)
        self.make_folder(name, path.parent)
        left = size
        with path.open("xb") as file:
            while chunk := content.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise self.refuse(name, f"is larger than the {size} bytes that it states")
                file.write(chunk)
        if left:
            raise self.refuse(name, f"has {size - left} of {size} bytes")


def unpack(archive: Path, folder: Path, into: str = ".", bounds: Bounds | None = None, nested: bool = False) -> None:
    """Unpack a tar or zip into `folder`/`into`, over existing files; if `nested`, each tar in it into a folder of its name.

    Raises:
        DataError: the archive is damaged, or holds what no data set needs: links, devices, absolute paths, `..`,
            encrypted or duplicate members, too much data. Nothing of it is then in `folder`.
    """
    work = unfinished(archive, folder)
    again = work.exists()  # a killed run may have moved some files into place; they count only with all the others
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    guard = _Guard(archive, work, bounds or Bounds())
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(guard)
        else:
            with archive.open("rb") as raw, _opened(archive, raw) as tar:
                _unpack_tar(guard, tar, nested)
    except (DataError, *DAMAGED) as error:
        shutil.rmtree(work)
        if again:
            work.mkdir()
        if isinstance(error, DataError):
            raise
        if isinstance(error, OSError) and error.errno:  # e.g. a full disk, which is not the archive's fault
            raise OSError(error.errno, error.strerror, error.filename or str(folder)) from None
        raise DataError(f"{archive} is damaged ({error}): delete it and fetch it again") from None
    _move(work, folder / into)
    sync_folder(folder)
    shutil.rmtree(work)


def unfinished(archive: Path, folder: Path) -> Path:
    """The hidden folder that exists from the start of an unpacking until the archive is wholly unpacked."""
    return folder / f".{archive.name}.unpacking"


def _opened(archive: Path, raw: IO[bytes]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=raw, mode="r:*", tarinfo=_Member)
    except tarfile.ReadError:
        raise DataError(f"{archive} is neither a tar nor a zip: delete it and fetch it again") from None


def _unpack_tar(guard: _Guard, tar: tarfile.TarFile, nested: bool) -> None:
    end = 0
    for member in tar:
        end = member.offset_data + -(-member.size // BLOCK) * BLOCK if member.isreg() else member.offset_data
        if member.isdir():
            guard.make_folder(member.name)
        elif not member.isreg() or member.issparse():
            raise guard.refuse(member.name, f"is {_kind_of(member)}")
        elif nested and member.name.endswith(".tar"):
            inside = member.name.removesuffix(".tar")
            inner = _Guard(guard.archive, guard.place(inside), guard.bounds)
            if inner.folder.exists():
                raise guard.refuse(member.name, "occurs twice")
            guard.make_folder(inside)
            with tarfile.open(fileobj=tar.extractfile(member), mode="r:", tarinfo=_Member) as tar_in_tar:
                _unpack_tar(inner, tar_in_tar, nested=False)
        else:
            guard.write(member.name, member.size, tar.extractfile(member))
    tar.fileobj.seek(end)
    if tar.fileobj.read(BLOCK) != bytes(BLOCK):  # a tar cut off between two members lacks its end mark
        raise tarfile.ReadError("it ends too early")


def _kind_of(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"a link (to {member.linkname!r})"
    return "a device" if member.isdev() else "neither a file nor a folder"


def _unpack_zip(guard: _Guard) -> None:
    with zipfile.ZipFile(guard.archive) as archive:
        for member in _members(guard, archive):
            if member.is_dir():
                guard.make_folder(member.filename)
            else:
                with archive.open(member) as content:
                    guard.write(member.filename, member.file_size, content)


def _members(guard: _Guard, archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """Members in the order of their bytes. Raises DataError if one is encrypted, special, or shares bytes with another."""
    after, before = 0, ""
    for member in sorted(archive.infolist(), key=lambda m: m.header_offset):
        mode = member.external_attr >> 16
        if member.flag_bits & 1:
            raise guard.refuse(member.filename, "is encrypted")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise guard.refuse(member.filename, "is a link" if stat.S_ISLNK(mode) else "is neither a file nor a folder")
        if member.header_offset < after:
            raise guard.refuse(member.filename, f"shares its bytes with {before!r}")
        after, before = member.header_offset + member.compress_size, member.filename
        yield member


def _move(work: Path, folder: Path) -> None:
    """Move every file into place, over one of the same name; after a kill, a second run does the same."""
    for here, _, names in os.walk(work):
        there = folder / Path(here).relative_to(work)
        try:
            there.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise DataError(f"{there} is a file, and the archive has a folder of this name: move it away") from None
        for name in names:
            try:
                os.replace(Path(here) / name, there / name)
            except IsADirectoryError:
                blocked = there / name
                raise DataError(f"{blocked} is a folder, and the archive has a file of this name: move it away") from None
