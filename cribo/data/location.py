"""Where the photos of a data set are that are not ours to copy: a parameter, or the environment variable CRIBO_DATA."""

from __future__ import annotations

import os
from pathlib import Path

from cribo.data.manifest import DataError
from cribo.params_errors import lines_of


def locate(name: str, path: str | Path | None) -> Path:
    """The folder of data set `name` that holds JPEGImages: at `path`, else params.yaml's path, else below $CRIBO_DATA.

    Raises:
        DataError: nothing says where the photos are, or they are not there.
    """
    key = f"data.{name}.path"
    said = "the given path" if path is not None else key
    path = path if path is not None else _path_in_params(name)
    if path is not None:
        starts = [Path(path)]
    elif os.environ.get("CRIBO_DATA"):
        said = "the environment variable CRIBO_DATA"
        base = Path(os.environ["CRIBO_DATA"])
        starts = [base / name, base]
    else:
        raise DataError(
            f"nothing says where the photos of {name} are: set {key} in params.yaml, or the environment "
            f"variable CRIBO_DATA to a folder that holds them or a subfolder {name}"
        )
    for start in starts:
        for inside in ("VOCdevkit/VOC2012", "VOC2012", "."):
            if (start / inside / "JPEGImages").is_dir():
                return start / inside
    raise DataError(
        f"{' and '.join(map(str, starts))} (from {said}) holds no JPEGImages folder, nor does VOC2012 or "
        f"VOCdevkit/VOC2012 in it: set {key} in params.yaml or CRIBO_DATA to the folder of {name}"
    )


def _path_in_params(name: str) -> str | None:
    """`data.NAME.path` of params.yaml in the current folder, if there is one."""
    if not Path("params.yaml").exists():
        return None
    tree, _ = lines_of(Path("params.yaml"))
    return ((tree.get("data") or {}).get(name) or {}).get("path")
