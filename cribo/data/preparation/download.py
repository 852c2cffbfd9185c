"""Downloads files: several at a time, resumed where they broke off, and accepted only if their digest is right.

A file is fetched as NAME.part and renamed when it is complete and right, so a file that has its name is a good one.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

from cribo.data.prepared.manifest import DataError

CHUNK = 1 << 16  # bytes; after a break, at most this much is fetched a second time
TRIES = 6  # tries in a row that gain no byte
TIMEOUT = 30  # s without an answer
REFUSED = (400, 401, 403, 404, 410)  # status codes that a retry will not change


@dataclass(frozen=True)
class Remote:
    """A file to fetch. `digest` is "sha256:…", "sha1:…" or "md5:…", as published; `bytes` its size, None if not known."""

    name: str
    url: str
    bytes: int | None = None
    digest: str | None = None


def fetch(files: Sequence[Remote], folder: Path, at_once: int = 4, pause: float = 1.0) -> None:
    """Fetch the files that `folder` lacks. `pause`: seconds before the second try, doubled each time up to 60 s.

    Raises:
        DataError: files cannot be fetched; one sentence for each says why, and what to put where instead.
    """
    wanted = [file for file in files if not (folder / file.name).exists()]
    if not wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    shown, stop = _Shown(wanted, folder), threading.Event()
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(_fetch, file, folder, pause, stop) for file in wanted]
        try:
            while not all(job.done() for job in jobs):
                shown.tick()
                time.sleep(0.1)
        except BaseException:
            stop.set()  # an interrupt ends the threads too; .part files stay
            raise
    if failed := [str(job.exception()) for job in jobs if isinstance(job.exception(), DataError)]:
        raise DataError("\n".join(failed))
    for job in jobs:
        job.result()


def advice(file: Remote, folder: Path) -> str:
    return f"download {file.url} elsewhere and put it into {folder} as {file.name}"


class _Broken(Exception):
    """A connection that ended early, or an answer that may be better at the next try."""


def _fetch(file: Remote, folder: Path, pause: float, stop: threading.Event) -> None:
    part = folder / f"{file.name}.part"
    failures, why = 0, ""
    while failures < TRIES:
        before = _size(part)
        try:
            _continue(file, part, stop)
            _check(file, part)
            part.rename(folder / file.name)
            _tag(part).unlink(missing_ok=True)
            return
        except (requests.RequestException, _Broken) as error:
            why = _words(error)
        if stop.is_set():
            return
        failures = failures + 1 if _size(part) <= before else 1
        stop.wait(min(pause * 2 ** (failures - 1), 60) if failures < TRIES else 0)
    raise DataError(f"{file.name} cannot be fetched ({why}): {advice(file, folder)}")


def _continue(file: Remote, part: Path, stop: threading.Event) -> None:
    """Request the missing bytes and append them; start over if the server sends the file from the start or a new version."""
    have, tag = _size(part), _tag(part).read_text() if _tag(part).exists() else ""
    if have and not (tag or file.digest):
        have = 0  # nothing could show whether the rest belongs to the same file
    if file.bytes is not None and have == file.bytes:
        return
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    with requests.get(file.url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code in REFUSED:
            raise DataError(
                f"{file.name} cannot be fetched ({answer.status_code} {answer.reason}): {advice(file, part.parent)}"
            )
        if answer.status_code == 416:
            if answer.headers.get("Content-Range", "").endswith(f"/{have}"):
                return  # complete: a run was killed before its check
            part.unlink()
            raise _Broken("the server has fewer bytes than an earlier try")
        if answer.status_code not in (200, 206):
            raise _Broken(f"{answer.status_code} {answer.reason}")
        continued = answer.status_code == 206
        if continued and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink()
            raise _Broken("the server sent another range than asked for")
        _tag(part).write_text(answer.headers.get("ETag", "") or answer.headers.get("Last-Modified", ""))
        with part.open("ab" if continued else "wb") as out:
            for chunk in answer.iter_content(CHUNK):
                out.write(chunk)
                if stop.is_set():
                    raise _Broken("interrupted")
                if file.bytes is not None and out.tell() > file.bytes:
                    break  # `_check` reports it
    if (stated := answer.headers.get("Content-Length")) and not continued and _size(part) < int(stated):
        raise _Broken(f"the connection ended after {_size(part)} of {stated} bytes")


def _check(file: Remote, part: Path) -> None:
    """Check size and digest. A short file raises _Broken and is resumed; a wrong one is deleted and refused."""
    size = _size(part)
    if file.bytes is not None and size < file.bytes:
        raise _Broken(f"{size} of {file.bytes} bytes")
    wrong = ""
    if file.bytes is not None and size > file.bytes:
        wrong = f"it has more than the {file.bytes} bytes that are published"
    elif file.digest:
        kind, _, published = file.digest.partition(":")
        with part.open("rb") as raw:
            found = hashlib.file_digest(raw, kind).hexdigest()
        if found != published:
            wrong = f"its {kind} is {found}, and {published} is published"
    if wrong:
        part.unlink()
        _tag(part).unlink(missing_ok=True)
        raise DataError(f"{file.url} is not {file.name} ({wrong}): {advice(file, part.parent)}")


def _words(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer in {TIMEOUT} s"
    if isinstance(error, requests.ConnectionError) and "Max retries" in str(error):
        return "the server cannot be reached"
    return str(error)


def _tag(part: Path) -> Path:
    """The file that notes which version of the remote file a part belongs to."""
    return part.with_name(f"{part.name}.version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Shown:
    """Shows the bytes fetched so far on stderr: a line every 5 s, or in place on a terminal."""

    def __init__(self, files: Sequence[Remote], folder: Path):
        self.files, self.folder = files, folder
        self.start = self.last = time.monotonic()
        self.first = self.bytes()
        self.total = sum(file.bytes or 0 for file in files) if all(file.bytes for file in files) else 0

    def bytes(self) -> int:
        return sum(max(_size(self.folder / f.name), _size(self.folder / f"{f.name}.part")) for f in self.files)

    def tick(self) -> None:
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if now - self.last < (0.5 if terminal else 5):
            return
        self.last, have = now, self.bytes()
        rate = (have - self.first) / (now - self.start)
        text = f"fetching {len(self.files)} files: {have / 2**20:.0f}"
        text += f"/{self.total / 2**20:.0f} MiB" if self.total else " MiB"
        text += f", {rate / 2**20:.1f} MiB/s"
        if self.total and rate > 0:
            text += f", {(self.total - have) / rate:.0f} s left"
        print(text, file=sys.stderr, end="\r" if terminal else "\n", flush=True)
