"""A digest of the sources that decide a result, so that a state is only used by the code that made it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import cribo


def digest_of_sources(sources: Iterable[str]) -> bytes:
    """sha256 of the given files and all modules in the given folders, including their paths under cribo/."""
    sha, package = hashlib.sha256(), Path(cribo.__file__).parent
    for source in sources:
        path = package / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            sha.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    return sha.digest()
