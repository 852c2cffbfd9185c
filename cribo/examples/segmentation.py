"""Photos, their ground truth, and what dense nearest neighbours predict from a memory of a few training photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cribo.data.prepared.images import read_image, read_mask
from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.features.patch_features import extract
from cribo.evaluation.neighbours.search import nearest
from cribo.evaluation.neighbours.vote import vote
from cribo.evaluation.pixels import pixel_classes
from cribo.examples.choice import spread
from cribo.examples.pictures import class_colours, enlarged, save, shrunk
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World

SIDE = 192  # px of a picture's longer side: the maximum for a large photo, the minimum for a small one


def segmentation(encoder: Encoder, data: PreparedSet, settings: dict, world: World, out: Path) -> dict | None:
    """Write pictures of `settings["photos"]` val photos to `out`; return what they show. None without val photos or masks.

    The memory holds only `settings["bank"]` training photos, so the predictions are those of a reduced memory. The scores
    in the tables do not come from these pictures.
    """
    memory = spread(data.splits["train"], settings["bank"])
    shown = spread(data.splits["val"], settings["photos"])
    if not shown or any(record.mask is None for record in (*memory, *shown)):
        return None
    count = len(data.classes)
    keys, queries = (extract(encoder, records, count, data.ignore, world) for records in (memory, shown))
    labelled = torch.from_numpy(keys.labels != data.ignore)
    rows, classes = keys.features[labelled], torch.from_numpy(keys.labels.astype(np.int64))[labelled]
    similarities, found = nearest(queries.features, rows, min(settings["k"], len(rows)))
    shares = vote(similarities, classes[found], count, settings["temperature"])
    colours, seen, rows_out = class_colours(count), set(), []
    for i, record in enumerate(shown):
        own = shares[queries.starts[i] : queries.starts[i + 1]].unflatten(0, queries.grids[i])
        truth, predicted = read_mask(record.mask), pixel_classes(own, (record.height, record.width)).numpy()
        seen |= {*np.unique(truth).tolist(), *np.unique(predicted).tolist()}
        pictures = {"photo": read_image(record.image), "truth": colours[truth], "prediction": colours[predicted]}
        files = {
            what: save(enlarged(shrunk(picture, SIDE), SIDE), out / f"segmentation-{i}-{what}.png")
            for what, picture in pictures.items()
        }
        rows_out.append({"id": record.id, **files})
    legend = [{"name": data.classes[c], "colour": "#" + bytes(colours[c]).hex()} for c in sorted(seen) if c < count]
    return {"memory": len(memory), "legend": legend, "photos": rows_out}
