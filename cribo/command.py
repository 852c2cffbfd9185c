"""How the project's commands end when the user, the data or the machine is at fault: one sentence, exit status 1."""

from __future__ import annotations

import difflib
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Errors that a sentence explains. Any other error is a defect of this project and keeps its traceback.
EXPLAINED = (ValueError, OSError, FloatingPointError)
KILLED = "DataLoader worker (pid"  # start of torch's message when a loader process dies without an error of its own
REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
FULL = {errno.ENOSPC, errno.EDQUOT}


def run(main: Callable[..., None], usage: str, least: int, most: int | None = None) -> None:
    """Call `main` with the command line's arguments and turn explained errors into a sentence on stderr.

    `main` takes `least` arguments, or up to `most` of them. `--help` shows the docstring of the module of `main`.
    """
    given = sys.argv[1:]
    show_help(given, main.__globals__["__doc__"] or f"usage: {usage}")
    if not least <= len(given) <= (most or least):
        sys.exit(f"usage: {usage}")
    with explained():
        main(*given)


@contextmanager
def explained() -> Iterator[None]:
    """Turn an explained error inside the block into a sentence on stderr and exit status 1."""
    try:
        yield
    except EXPLAINED as error:
        sys.exit(sentence(error))
    except KeyboardInterrupt:
        sys.exit("stopped by Ctrl-C")
    except RuntimeError as error:
        if not str(error).startswith(KILLED):
            raise
        sys.exit(
            "a process that loads photos was killed, most often for lack of memory: lower compute.workers, or give the "
            f"command more memory ({str(error).splitlines()[0]})"
        )


def show_help(given: Sequence[str], text: str) -> None:
    """If the first argument asks for help, print `text` and exit with status 0."""
    if given and given[0] in ("--help", "-h"):
        print(text.strip())
        sys.exit(0)


def sentence(error: Exception) -> str:
    """The message of an explained error; for one in a loader process, without the traceback that torch puts into it."""
    if isinstance(error, OSError) and error.errno in REFUSED and error.filename:
        return _refusal(Path(os.fsdecode(error.filename)), error)
    if isinstance(error, OSError) and error.errno in FULL:
        return _full(error)
    said = str(error)
    if said.startswith("Caught ") and "DataLoader worker process" in said.splitlines()[0]:
        return said.strip().splitlines()[-1].partition(": ")[2]
    return said


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: suggests the known name that alone begins with it, else the closest one.

    It is empty if none is close.
    """
    known = list(known)
    longer = [name for name in known if len(given) > 3 and name.startswith(given)]
    near = longer if len(longer) == 1 else difflib.get_close_matches(given, known, n=1)
    return "".join(f"; did you mean {name}?" for name in near)


def check_out(out: Path, called: str) -> None:
    """Raise ValueError if no file can be written at `out`, the value of option `called`: before hours of computing rather
    than after them."""
    if out.is_dir():
        raise ValueError(f"{called} {out} is a folder: name a file in it")
    if not out.parent.is_dir():
        raise ValueError(f"{called} {out}: there is no folder {out.parent}: make it first, or correct the path")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{called} {out}: nothing can be written in {out.parent} ({error.strerror}): choose another"
        ) from None


def emptied(folder: Path) -> Path:
    """Make or empty `folder` and return it. Raises OSError that names it, as rmtree's names a file without its path."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    return folder


def _full(error: OSError) -> str:
    """The sentence for a full disk or quota; which disk is known only if the system's error names a file."""
    if not error.filename:
        return (
            f"the disk that is written to is full ({error.strerror}): make room on it, which may be that of $TMPDIR, "
            "and give the same command again"
        )
    path = Path(os.fsdecode(error.filename))
    folder = path if path.is_dir() else path.parent
    return f"the disk of {folder} is full ({error.strerror}): make room there and give the same command again"


def _refusal(path: Path, error: OSError) -> str:
    """The sentence for denied access: names an unreadable file, else the folder, as new files may have temporary names."""
    if error.errno != errno.EROFS and path.exists() and not os.access(path, os.R_OK):
        return f"{path} cannot be read ({error.strerror}): ask its owner for the right to"
    folder = path if path.is_dir() else path.parent
    return f"{folder} cannot be written ({error.strerror}): make it writable, or work in another folder"
