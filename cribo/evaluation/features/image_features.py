"""One L2-normalised feature per image: the last block's CLS token after the final norm, for an encoder that has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from cribo.data.prepared.images import read_image
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.harness.read_ahead import BATCH_PIXELS, read_ahead
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World


def image_features(
    encoder: Encoder, photos: Sequence[Path], short_side: int, crop: int, workers: int, world: World, what: str
) -> Float[Tensor, "n d"]:
    """Return features in the order of `photos`, fp32 on the encoder's device, the same on every process.

    The batches do not depend on the number of processes; each process encodes every `world.size`-th batch.

    Raises:
        DataError: a photo is missing or corrupt.
    """
    size = max(1, BATCH_PIXELS // crop**2)
    batches = [range(i, min(i + size, len(photos))) for i in range(0, len(photos), size)][world.rank :: world.size]
    features = torch.zeros(len(photos), encoder.width, device=world.device)
    progress = Progress(what, sum(map(len, batches)))
    for batch, images in read_ahead(batches, lambda i: centre_of(photos[i], short_side, crop), workers):
        whole, _ = encoder(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
        features[batch.start : batch.stop] = torch.nn.functional.normalize(whole, dim=-1)
        if world.main:
            progress.add(len(batch))
    return world.sum(features)  # rows of other processes are zero here


def centre_of(photo: Path, short_side: int, crop: int) -> UInt8[np.ndarray, "crop crop 3"]:
    """Scale a photo (bicubic, antialiased) to `short_side` px on its shorter side; return the central `crop` px square."""
    image = Image.fromarray(read_image(photo))
    width, height = (short_side * side // min(image.size) for side in image.size)
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))
