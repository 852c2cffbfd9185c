"""The protocols that `cribo.evaluate` offers: those that need only an encoder and a folder, with the paper's settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cribo import params
from cribo.command import did_you_mean
from cribo.data.preparation.prepare import PLACES, prepare
from cribo.data.preparation.sets import SETS
from cribo.data.prepared.location import locate
from cribo.data.prepared.manifest import MANIFEST, DataError
from cribo.data.prepared.readers import PreparedSet, open_set
from cribo.evaluation import knn
from cribo.evaluation.dense_nn import result as dense_nn_result
from cribo.evaluation.detection import run as yolos
from cribo.evaluation.harness.stage import Judge, Kept, nothing_kept
from cribo.evaluation.hummingbird import run as hummingbird
from cribo.params.checks.names import repeated
from cribo.params.checks.photos import problems_in
from cribo.params.data import DATA_KINDS
from cribo.params.errors import problems_of
from cribo.params.types import Group


@dataclass(frozen=True)
class Protocol:
    """schema: of the protocol's block in params.yaml; paper: the paper's values for it; layout: of the photos, in words;
    open: makes of a PATH the data set that `judge` takes; kept: returns the folder of its resumable state, if any."""

    schema: type[Group]
    paper: dict[str, Any]
    layout: str
    open: Callable[[str, Path, dict, Path], Any]
    judge: Judge
    kept: Kept = nothing_kept


OTHERWISE = (  # advice for protocols that evaluate on masks
    ", or say what is in it: --set data.kind=folder data.train=… data.val=… data.masks=… data.classes=[…], or give what "
    "`dvc repro prepare@NAME` made: --dataset NAME=data/NAME (docs/data.md)"
)


def opener(*kinds: str) -> Callable[[str, Path, dict, Path], PreparedSet]:
    """Return a function that opens a folder of one of these kinds of data (docs/data.md)."""

    def opened(name: str, path: Path, settings: dict, scratch: Path) -> PreparedSet:
        """Open a prepared folder (one with MANIFEST.json) as it is. Check any other folder first, file by file, and write
        its index to `scratch`, unless the index is there already.

        `settings` are those of `data` in params.yaml, none for a prepared folder; a `kind` that is not given is detected.
        The set is called `name`, whatever the prepared folder's name is.
        """
        if (path.expanduser() / MANIFEST).exists():
            return _prepared(name, path.expanduser().absolute(), settings)
        if places := sorted(PLACES & settings.keys()):
            raise DataError(
                f"--set data.{places[0]} is not a setting here: leave it out, as --dataset says where photos are"
            )
        kind = _known(settings.get("kind")) or _kind(name, path, kinds)
        root = _root(name, kind, path)
        try:
            complete = _complete(name, {"kind": kind, "path": str(path), **_lists(kind, root), **settings})
            if not (scratch / name / MANIFEST).exists():
                prepare(name, complete, scratch)
        except DataError as error:  # its advice is about params.yaml, which plays no part here
            said = str(error).replace(f"data.{name}.exclude_broken: true", "--set data.exclude_broken=true")
            raise DataError(said.replace(f"data.{name}.", "--set data.")) from None
        return open_set(name, scratch, path)

    return opened


def _prepared(name: str, folder: Path, settings: dict) -> PreparedSet:
    """Open a prepared folder under this name. Raises DataError if settings are given: they would come too late for it."""
    if settings:
        raise DataError(
            f"--set data.{next(iter(settings))} changes nothing in {folder}, which is prepared ({MANIFEST} lies in it): "
            "leave it out, or give the folder of the photos"
        )
    return replace(open_set(folder.name, folder.parent), name=name)


def _known(kind: object) -> object:
    """Return the given kind of photos, or None if none was given. Raises DataError for an unknown kind."""
    kinds = sorted(SETS)
    if kind is not None and kind not in kinds:
        raise DataError(
            f"--set data.kind={kind} is not a kind of photos (there are: {', '.join(kinds)}){did_you_mean(str(kind), kinds)}"
        )
    return kind


def _complete(name: str, settings: dict) -> dict:
    """Complete and check `settings` of a data set as params.yaml is. Raises DataError naming the --set at fault."""
    kind = settings["kind"]
    schema = DATA_KINDS[kind]
    own = [key for key in schema.model_fields if key not in PLACES]
    if unknown := sorted(settings.keys() - {*own, "path"}):
        there = f"(there are: {', '.join(own)}){did_you_mean(unknown[0], own)}"
        raise DataError(f"--set data.{unknown[0]} is not a setting of {kind} {there}")
    try:
        complete = params.complete_data(settings)
    except ValidationError as error:
        first = problems_of(error, schema, ())[0]
        key = ".".join(str(part) for part in first.key if part != kind)
        advice = f": add --set data.{key}=…" if first.wrong == "is missing" else ""
        raise DataError(f"--set data.{key} {first.wrong}, of the kind {kind}{advice}") from None
    if wrong := next(problems_in(name, schema.model_validate(params.as_tuples(complete), strict=True)), None):
        raise DataError(f"data.{name}.{wrong.key[-1]}: {wrong.wrong}")
    if (again := repeated(complete.get("classes") or ())) is not None:
        raise DataError(f"--set data.classes names {again} twice: give each class a name of its own")
    return complete


def _kind(name: str, path: Path, kinds: tuple[str, ...]) -> str:
    """Return the first kind whose folders exist. If none do, raise the first kind's DataError; for a protocol on masks, its
    message adds what else an existing folder may be."""
    faults = []
    for kind in kinds:
        try:
            _root(name, kind, path)
            return kind
        except DataError as error:
            faults.append(error)
    raise DataError(f"{faults[0]}{OTHERWISE}") if "voc" in kinds and path.expanduser().is_dir() else faults[0]


def _root(name: str, kind: str, path: Path) -> Path:
    """Call `locate`, replacing its message, which is about params.yaml: here --dataset says where the photos are."""
    place = SETS[kind].PLACE
    try:
        return locate(name, place, path)
    except DataError:
        here = path.expanduser()
        within = [below for below in place.inside if below != "."]
        places = f", nor does {' or '.join(within)} in it" if within else ""
        wrong = f"holds no {' or '.join(place.signs)} folder{places}" if here.is_dir() else "is not a folder"
        raise DataError(f"--dataset {name}={path}: {here} {wrong}: correct the path of --dataset") from None


def _lists(kind: str, root: Path) -> dict[str, str]:
    """For VOC, return the lists and masks augmented by SBD if they exist, as in the paper, else VOC's own; else nothing."""
    if kind != "voc":
        return {}
    if (root / "SegmentationClassAug").is_dir():
        for listing in ("train_aug", "trainaug"):
            if (root / f"ImageSets/Segmentation/{listing}.txt").is_file():
                return {"train": listing, "val": "val", "masks": "SegmentationClassAug"}
    return {"train": "train", "val": "val", "masks": "SegmentationClass"}


MASKED = opener(*(kind for kind, schema in DATA_KINDS.items() if schema in (params.Voc, params.Published)))
PROTOCOLS = {
    "dense_nn": Protocol(
        params.evaluate.DenseNN,
        {"k": 50, "temperature": 0.07, "subsample": [1, 8, 64, 128], "runs": 5, "seed": 0},
        "VOC, ADE20K, COCO-Stuff or Pascal Context as published, a folder that `prepare` made, or any with "
        "--set data.kind=folder",
        MASKED,
        dense_nn_result.judge,
    ),
    "hummingbird": Protocol(
        params.evaluate.Hummingbird,
        {
            "size": 512,
            "k": 30,
            "temperature": 0.02,
            "passes": 2,
            "crop_area": [0.5, 2.0],
            "jitter": 0.1,
            "jitter_probability": 0.5,
            "patches_per_image": None,
            "void_is_class_0": True,
            "match_classes": True,
            "seed": 0,
        },
        "as for dense_nn",
        MASKED,
        hummingbird.judge,
    ),
    "knn": Protocol(
        params.evaluate.KNN,
        {"k": [10, 20, 100, 200], "temperature": 0.07, "short_side": 256, "crop": 224},
        "folders {train,val}/CLASS/ of photos",
        opener("imagenet"),
        knn.judge,
    ),
    "yolos": Protocol(
        params.evaluate.Yolos,
        {
            "epochs": 150,
            "batch_size": 32,
            "lr": 2.5e-5,
            "min_lr": 1e-7,
            "weight_decay": 1e-4,
            "clip_norm": 0.1,
            "tokens": 100,
            "grid": [512, 864],
            "short": [480, 800, 16],
            "longest": 1333,
            "crop_from": [400, 500, 600],
            "crop": [384, 600],
            "test": 800,
            "seed": 42,
        },
        "COCO's folders: annotations/, {train,val}2017/ or images/{train,val}2017/",
        opener("coco"),
        yolos.judge,
        yolos.run_directory,
    ),
}
