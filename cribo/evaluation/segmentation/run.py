"""Run one cell, from an encoder and a data set to its result file; keep the training state for resuming."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path

import yaml

from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.harness.errors import EvaluationError, train_and_val
from cribo.evaluation.harness.result import Meter, write_json
from cribo.evaluation.segmentation import decoders
from cribo.evaluation.segmentation.crops import Crops
from cribo.evaluation.segmentation.predict import Photos, judge
from cribo.evaluation.segmentation.result import cell
from cribo.evaluation.segmentation.train import initial_state, train
from cribo.model.encoder import load_encoder
from cribo.params import Compute
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.interruption import ignore_signals
from cribo.training.engine.log import say
from cribo.training.engine.sources import digest_of_sources

# The code under cribo/ that determines the trained weights, besides the encoder and the photos.
SOURCES = (
    "data/batches/streams.py",
    "data/prepared",
    "evaluation/segmentation",
    "model/encoder.py",
    "model/networks/backbone.py",
)


def learning_rate(text: str) -> float:
    """Parse a learning rate from the command line. Raises EvaluationError unless it is a positive number."""
    try:
        lr = float(text)
    except ValueError:
        lr = -1.0
    if not 0 < lr < float("inf"):
        raise EvaluationError(f"{text} is not a learning rate: give a positive number")
    return lr


def evaluate(
    protocol: str,
    weights: Path,
    data: PreparedSet,
    settings: dict,
    lr: float,
    out: Path,
    runs: Path,
    compute: Compute,
    world: World,
    layers: int = 1,
) -> Path:
    """Train the decoder of `protocol` ("linear_segmentation" or "segmenter") on the encoder in folder `weights`, and write
    its mIoU on the val split to `out`.

    The resumable state is kept in a folder in `runs`, named after `out`. The function returns that folder; it may be deleted
    once the command has succeeded.

    Raises:
        EvaluationError: the data cannot be evaluated, or the settings do not fit the encoder.
        EncoderError, DataError: a file is missing or unusable.
        Interrupted, FloatingPointError, CannotResume: see `train`.
    """
    meter = Meter(world.device, compute.precision)
    train_split, val = train_and_val(data)
    encoder = load_encoder(weights, world.device, compute.precision)
    classes, ignore = len(data.classes), data.ignore
    if protocol == "segmenter":
        model = decoders.segmenter(encoder, settings, classes, ignore)
    else:
        model = decoders.linear(encoder, settings, layers, classes, ignore)
    state = initial_state(model, settings["weight_decay"])
    if world.main:
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        say(f"{protocol} of {encoder.name} on {data.name}: {trained:,} parameters to train, on {world.device}")
    folder = runs / f"{protocol}-{out.stem}-{fingerprint(settings, lr, layers, data.digest, weights)}"
    with checkpoint.sole_owner(folder) if world.main else nullcontext():
        world.barrier()
        train(state, Crops(train_split, settings, classes, ignore), settings, lr, folder, compute, world)
        photos = Photos(val, settings["scale"], classes, ignore)
        matrix = judge(model, photos, compute.workers, world, data.name)
        if world.main:
            tree = cell(protocol, encoder, data, settings, lr, layers, matrix, meter.read())
            write_json(out, tree)
            say(f"{out}: mIoU {tree['value']:.2f} %")
    ignore_signals()
    world.barrier()
    return folder


def fingerprint(settings: dict, lr: float, layers: int, digest: str, weights: Path) -> str:
    """Return sixteen hex digits for everything that determines the result: settings, photos, encoder and our sources."""
    sha = hashlib.sha256(
        yaml.safe_dump([settings, lr, layers, digest], sort_keys=True).encode() + digest_of_sources(SOURCES)
    )
    for file in ("config.json", "model.safetensors"):
        with (weights / file).open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()[:16]
