"""The part of params.yaml that lists the data sets: one group per kind of data set; docs/data.md explains each key."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from cribo.params.types import Count, Group, Seed, Span

SCENE_CLASSES = 13  # those of data/preparation/scenes.py with background; here to check K without importing the renderer
Drawn = Annotated[int, Field(ge=1, le=255)]  # objects per scene: a pixel's one byte says which one it shows


def _folder(path: str) -> str:
    if not path:
        raise ValueError("should name a folder, or be null for one below $CRIBO_DATA")
    return path


def _inside(part: str) -> str:
    if not part or PurePosixPath(part).is_absolute() or ".." in PurePosixPath(part).parts:
        raise ValueError("should name what lies inside `path` (. is all of it), without .. and without / before it")
    return part


# An index holds paths inside `path` only, so that photos can be moved and no set reaches into another.
Inside = Annotated[str, AfterValidator(_inside)]


class Scenes(Span):
    kind: Literal["scenes"]
    seed: Seed
    size: Annotated[int, Field(ge=32, le=1024)]
    train: Count
    val: Count
    objects: tuple[Drawn, Drawn]


class Photos(Group):
    """Files that this project did not generate; docs/data.md explains each key."""

    path: Annotated[str, AfterValidator(_folder)] | None = None
    exclude_broken: bool = False


class Folder(Photos):
    kind: Literal["folder"]
    train: Inside
    val: Inside | None = None
    masks: Inside | None = None
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=254)] | None = None


class Published(Photos):
    """A data set in its published layout, with a mask for each image."""

    kind: Literal["ade20k", "coco_stuff", "pascal_context"]
    download: bool = False
    strict: bool = False


class Unmasked(Published):
    """A published data set without masks: it has boxes, or a class for each image."""

    kind: Literal["coco", "imagenet"]


class Voc(Published):
    kind: Literal["voc"]
    train: Inside
    val: Inside
    masks: Inside


Kind = Scenes | Voc | Published | Unmasked | Folder
Data = Annotated[Kind, Field(discriminator="kind")]
DATA_KINDS = {name: group for group in get_args(Kind) for name in get_args(group.model_fields["kind"].annotation)}
