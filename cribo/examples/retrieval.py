"""Val photos, and the training photos most similar to each as a whole."""

from __future__ import annotations

from pathlib import Path

from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.features.image_features import centre_of, image_features
from cribo.evaluation.neighbours.search import nearest
from cribo.examples.choice import spread
from cribo.examples.pictures import enlarged, save, shrunk
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World

NEIGHBOURS = 6
SIDE = 96


def retrieval(encoder: Encoder, data: PreparedSet, settings: dict, world: World, out: Path) -> dict | None:
    """Write pictures of val photos and of each one's nearest neighbours by cosine among `settings["bank"]` training photos.

    If both splits have photos with an image-level class, only these are used, and the result names their classes, so that
    the report can say whether a neighbour's class is the query's. Returns None if a split has no photos.
    """
    sets = data.labelled if data.labelled.keys() >= {"train", "val"} else data.splits
    memory, shown = spread(sets["train"], settings["bank"]), spread(sets["val"], settings["photos"])
    if not memory or not shown:
        return None
    size = settings["short_side"], settings["crop"]
    keys, queries = (
        image_features(encoder, [record.image for record in records], *size, 1, world, "examples")
        for records in (memory, shown)
    )
    similarities, found = (x.cpu() for x in nearest(queries, keys, min(NEIGHBOURS, len(memory))))

    def picture(record, name: str) -> dict:
        image = centre_of(record.image, *size)
        label = None if record.label is None else data.classes[record.label]
        return {"id": record.id, "class": label, "picture": save(enlarged(shrunk(image, SIDE), SIDE), out / f"{name}.png")}

    rows = []
    for i, record in enumerate(shown):
        neighbours = [
            picture(memory[j], f"retrieval-{i}-{n}") | {"cosine": round(similarities[i, n].item(), 3)}
            for n, j in enumerate(found[i].tolist())
        ]
        rows.append({"query": picture(record, f"retrieval-{i}-query"), "neighbours": neighbours})
    return {"memory": len(memory), "feature": encoder.whole, "photos": rows}
