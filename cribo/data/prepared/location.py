"""Finds photos that are not ours to copy, from a parameter or the environment variable CRIBO_DATA."""

from __future__ import annotations

import os
from pathlib import Path

from cribo.data.prepared.manifest import DataError, Place
from cribo.params.yaml_lines import read_yaml


def starts(name: str, path: str | Path | None) -> tuple[list[Path], str]:
    """Folders that may hold data set `name`, the likeliest first, and the name of the setting that gives them.

    `path` takes precedence, then data.NAME.path of params.yaml, then $CRIBO_DATA.

    Raises:
        DataError: nothing says where the photos are.
    """
    key = f"data.{name}.path"
    said = "the given path" if path is not None else key
    path = path if path is not None else _path_in_params(name)
    if path is not None:
        return [Path(path).expanduser()], said
    if os.environ.get("CRIBO_DATA"):
        base = Path(os.environ["CRIBO_DATA"])
        return [base / name, base], "the environment variable CRIBO_DATA"
    raise DataError(
        f"nothing says where the photos of {name} are: set {key} in params.yaml, or the environment "
        f"variable CRIBO_DATA to a folder that holds them or a subfolder {name}"
    )


def locate(name: str, place: Place, path: str | Path | None) -> Path:
    """The folder to which the paths of data set `name` are relative.

    Raises:
        DataError: nothing says where the photos are, or they are not there.
    """
    folders, said = starts(name, path)
    for start in folders:
        for below in place.inside:
            if any((start / below / sign).is_dir() for sign in place.signs):
                return start / below
    if place.inside == place.signs:
        raise DataError(
            f"{' and '.join(map(str, folders))} (from {said}) is not a folder: correct data.{name}.path or CRIBO_DATA"
        )
    within = [below for below in place.inside if below != "."]
    places = f", nor does {' or '.join(within)} in it" if within else ""
    raise DataError(
        f"{' and '.join(map(str, folders))} (from {said}) holds no {' or '.join(place.signs)} folder{places}: "
        f"set data.{name}.path in params.yaml or CRIBO_DATA to the folder of {name}"
    )


def _path_in_params(name: str) -> str | None:
    """`data.NAME.path` of params.yaml in the current folder, if there is one."""
    if not Path("params.yaml").exists():
        return None
    tree, _ = read_yaml(Path("params.yaml"))
    return ((tree.get("data") or {}).get(name) or {}).get("path")
