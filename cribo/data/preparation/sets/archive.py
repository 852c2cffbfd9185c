"""An archive in which a data set is published, and what shows that it was unpacked.

Sizes and digests are those that torchvision (VOC, SBD, ImageNet), GluonCV (ADE20K) and PaddleDetection (COCO) check.
COCO-Stuff's maps and Pascal Context's annotations have no published digest: only their length and unpacking are checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from cribo.data.preparation.download import Remote

GIB = 1 << 30


@dataclass(frozen=True)
class Archive:
    """`makes`: folders or files, any of which shows that the archive was unpacked; `into`: the folder to unpack it into.

    `free`: whether its licence allows fetching it unattended. `nested`: whether tars in it are unpacked too. `files` and
    `unpacked` (bytes): the most that it may hold.
    """

    remote: Remote
    makes: tuple[str, ...]
    into: str = "."
    free: bool = True
    nested: bool = False
    files: int = 200_000
    unpacked: int = 25 * GIB
