"""How the paper's models were trained, in the words of `pretrain`: what a score depends on and counterparts.py leaves out.

A row of training.csv is one setting, of one backbone and one set of photos or of all, and where it is stated: in a
section of the paper, in the argument files that its authors released, or in DINO's, which the paper follows. What
`pretrain.fidelity` decides is not there: docs/method.md has both values, and a page its departures. Nor is MAE's training on
COCO, of which the paper says nothing.
"""

from __future__ import annotations

from cribo.report.paper.settings import stated_in


def stated(backbone: str, photos: str) -> dict[str, tuple[object, str]]:
    """(value, source) by dotted key of `pretrain`; both names are the paper's."""
    return stated_in("training.csv", backbone=backbone, photos=photos)
