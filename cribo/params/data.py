"""The part of params.yaml that says which photos there are: one group a kind of data set; docs/data.md explains each key."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from cribo.params.types import Count, Group, Span, Whole

SCENE_CLASSES = 13  # as many as cribo/data/scenes.py draws, and background: to check K without importing the renderer


class Scenes(Span):
    kind: Literal["scenes"]
    seed: Whole
    size: Annotated[int, Field(ge=32, le=1024)]
    train: Count
    val: Count
    objects: tuple[Count, Count]


class Photos(Group):
    """Files of somebody else's; docs/data.md explains each key."""

    path: str | None = None
    exclude_broken: bool = False


class Folder(Photos):
    kind: Literal["folder"]
    train: str
    val: str | None = None
    masks: str | None = None
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=254)] | None = None


class Published(Photos):
    kind: Literal["ade20k", "coco", "coco_stuff", "imagenet", "pascal_context"]
    download: bool = False
    strict: bool = False


class Voc(Published):
    kind: Literal["voc"]
    train: str
    val: str
    masks: str


Kind = Scenes | Voc | Published | Folder
Data = Annotated[Kind, Field(discriminator="kind")]
DATA_KINDS = frozenset(name for group in get_args(Kind) for name in get_args(group.model_fields["kind"].annotation))
