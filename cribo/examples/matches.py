"""Object-level matches across photos (the paper's Figs. 4 and 5): a view's regions, each with its neighbour in the bank.

The bank of the training is part of its resumable state and is deleted with it. So the exported teacher computes the matches
again, by the rules of a training step: views use random numbers that no step has used, the clustering and the criterion see
photos in groups as large as in training (groups.py: when this is not possible), and the bank holds the objects of other
training photos.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cribo.data.prepared.readers import PreparedSet
from cribo.examples.choice import spread
from cribo.examples.groups import groups
from cribo.examples.objects import Objects, objects_of
from cribo.examples.pictures import Picture, enlarged, lit, palette, save, tinted
from cribo.method.matching import accept
from cribo.method.memory_bank import MemoryBank, Neighbours, push, retrieve
from cribo.method.oracle import same_classes
from cribo.model.encoder import Encoder

PAIRS = 6  # maximum number of a photo's regions shown with their neighbour
SIDE = 144


def matches(encoder: Encoder, data: PreparedSet, settings: dict, out: Path) -> dict | None:
    """Write pictures to `out`; return what they show, or None for a model without objects or fewer than two photos.

    `settings["model"]` holds the settings of the training. Of each photo, accepted matches come first, then the others, each
    in order of cosine. `ratio` is the share of accepted matches among the objects that both views show.
    """
    model, records = settings["model"], data.splits["train"]
    if model is None or "clustering" not in model or len(records) < 2:
        return None
    group = groups(model, settings["photos"], settings["bank"], len(records))
    queries = spread(records, group.queries)
    asked = {record.id for record in queries}
    kept = spread([record for record in records if record.id not in asked], group.bank)
    ours, bank = (objects_of(encoder, chosen, model, group.normalise) for chosen in (queries, kept))
    criterion = model.get("matching", {}).get("criterion", "cycle")
    matched = _matched(ours, bank, criterion, group.pool)
    names = [record.id for record in kept]
    return {
        "bank": group.bank,
        "queries": group.queries,
        "pool": group.pool,
        "group": group.normalise if "normalise_images" in model["clustering"] else None,
        "own_groups": group.own,
        "criterion": criterion,
        "learnt": "matching" in model,
        "K": model["clustering"]["K"],
        "ratio": round((matched.accepted.sum() / (2 * ours.valid.sum()).clamp_min(1)).item(), 4),
        "photos": [
            {"id": queries[i].id, **_photo(i, ours, bank, matched, names, out)}
            for i in range(min(settings["photos"], group.queries))
        ],
    }


@dataclass(frozen=True)
class _Matched:
    """Each object's neighbour, its index among the K objects of its photo, and whether the criterion accepts it."""

    found: Neighbours
    entries: Int[Tensor, "2 n K"]
    accepted: Bool[Tensor, "2 n K"]


def _matched(ours: Objects, theirs: Objects, criterion: str, pool: int) -> _Matched:
    _, images, K, width = theirs.objects.shape
    bank = MemoryBank.empty(images, K, width, theirs.objects.device)
    push(bank, theirs.objects, theirs.valid, torch.arange(images, device=theirs.objects.device), theirs.classes)
    found = retrieve(bank, ours.objects, ours.valid)
    same = None if ours.classes is None else same_classes(ours.classes, found.classes)
    accepted = accept(ours.objects, ours.valid, found.partners, found.found, criterion, pool, same)
    return _Matched(found, _nearest_entries(theirs, found), accepted)


def _nearest_entries(bank: Objects, found: Neighbours) -> Int[Tensor, "2 n K"]:
    picked = torch.stack([bank.objects[m][found.slots[m]] for m in range(2)])  # [2, n, K, K, d]
    distance = (picked - found.objects[..., None, :]).abs().sum(dim=-1)
    return distance.masked_fill(~bank.valid[found.slots], torch.inf).argmin(dim=-1)


def _photo(i: int, ours: Objects, bank: Objects, matched: _Matched, names: list[str], out: Path) -> dict:
    """Write pictures of query `i` and of its neighbours, whose photos are `names`; return their entry for examples.json."""
    view, regions, colours = ours.pixels(i), ours.regions(i), palette(ours.valid.shape[1])
    found, accepted = matched.found, matched.accepted[0, i].tolist()
    cosines = found.similarity[0, i].tolist()
    order = sorted(found.found[0, i].nonzero().flatten().tolist(), key=lambda k: (-accepted[k], -cosines[k]))
    pairs = []
    for n, k in enumerate(order[:PAIRS]):
        slot = int(found.slots[0, i, k])
        theirs = lit(bank.pixels(slot), bank.regions(slot) == int(matched.entries[0, i, k]), colours[k])
        pairs.append(
            {
                "object": _picture(lit(view, regions == k, colours[k]), out / f"match-{i}-{n}-object.png"),
                "neighbour": _picture(theirs, out / f"match-{i}-{n}-neighbour.png"),
                "id": names[slot],
                "cosine": round(cosines[k], 3),
                "accepted": accepted[k],
                "colour": "#" + bytes(colours[k]).hex(),
            }
        )
    return {
        "view": _picture(view, out / f"match-{i}-view.png"),
        "regions": _picture(tinted(view, regions, colours), out / f"match-{i}-regions.png"),
        "objects": int(ours.valid[i].sum()),
        "accepted": sum(accepted),
        "pairs": pairs,
    }


def _picture(pixels: Picture, path: Path) -> str:
    return save(enlarged(pixels, SIDE), path)
