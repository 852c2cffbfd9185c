"""Values of params.yaml that are legal alone and impossible together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from cribo.model.architectures import BACKBONES
from cribo.model.foreign.catalogue import CATALOGUE
from cribo.params.data import SCENE_CLASSES, Folder, Photos, Scenes, Voc
from cribo.params.errors import Key, Problem
from cribo.params.evaluate import PROTOCOLS
from cribo.params.pretrain import is_mae, needs_bank, needs_masks, needs_objects
from cribo.params.schema import Imported, Params, Trained
from cribo.params.types import Group

KINDS = {"knn": ("scenes", "imagenet"), "yolos": ("scenes", "coco")}  # of data that these protocols can judge on
METHODS = {"DINO": ("global",), "MAE": ("pixels",)}  # losses of the baselines
# Ending of a file of weights; a name without it and without a slash is one of the catalogue or of timm's hub.
FILES = (".pth", ".pt", ".ckpt", ".tar", ".bin", ".safetensors", ".msgpack")
# Kind of the data sets that the paper has, by the name that tables know them by (cribo/report/paper/values.py).
PAPERS = {"voc2012": "voc"} | {name: name for name in ("ade20k", "pascal_context", "coco_stuff", "coco", "imagenet")}
# Lists of names and of values, each of which is a class, a cell, a column or a vote; hummingbird's k is one number.
LISTS = ("classes", "models", "datasets", "subsample", "k", "layers", "learning_rates", "tables")
MASKS = tuple(protocol for protocol in PROTOCOLS if protocol not in KINDS)  # the others need a mask for each image


def contradictions(params: Params) -> Iterator[Problem]:
    """Every one of them, each once, at the key that the file really has."""
    yield from _names(params)
    yield from _twice(params)
    yield from _leaks(params)
    yield from _judged(params)
    yield from _imports(params)
    yield from _inputs(params)
    yield from _masks(params)
    yield from _oracles(params)
    yield from _decoders(params)
    seen = set()
    for name, model in params.trained.items():
        for key, wrong in (*_shapes(model), *_on_scenes(model, params.data.get(model.dataset))):
            place = _place(params, name, key)
            if (place, wrong) not in seen:
                seen.add((place, wrong))
                yield Problem(place, wrong)


def _place(params: Params, name: str, key: Key) -> Key:
    """Where the value of a model comes from: its own overlay, or what all models share."""
    own = params.models.trained[name]
    for step in key:
        if not isinstance(own, dict) or step not in own:
            return ("pretrain", *key)
        own = own[step]
    return ("models", "trained", name, *key)


def _names(params: Params) -> Iterator[Problem]:
    """Models and data sets that are named and not there."""
    known = {*params.models.trained, *params.models.imported}
    for name in sorted(set(params.models.trained) & set(params.models.imported)):
        yield Problem(("models", "imported", name), f"{name} is a trained model too: every model needs its own name")
    for name in params.evaluate.models:
        if name not in known:
            yield Problem(("evaluate", "models"), f"{name} is no model", sorted(known), name)
    reference = params.report.reference
    if reference not in params.evaluate.models:
        yield Problem(("report", "reference"), f"{reference} is not evaluated", params.evaluate.models, reference)
    for what, names in (("models", params.evaluate.models), ("datasets", sorted(params.data))):
        for name in getattr(params.report.examples, what):
            if name not in names:
                wrong = f"{name} is {'not evaluated' if what == 'models' else 'no data set'}"
                yield Problem(("report", "examples", what), wrong, names, name)
    for protocol in PROTOCOLS:
        for name in getattr(params.evaluate, protocol).datasets:
            key = ("evaluate", protocol, "datasets")
            if name not in params.data:
                yield Problem(key, f"{name} is no data set", sorted(params.data), name)
            elif params.data[name].kind not in KINDS.get(protocol, (params.data[name].kind,)):
                wrong = f"{name} is of kind {params.data[name].kind}, and {protocol} needs {' or '.join(KINDS[protocol])}"
                yield Problem(key, wrong)
    for name, data in params.data.items():
        if data.kind != (kind := PAPERS.get(name, data.kind)):
            wrong = (
                f"is {data.kind}, and the paper's values stand beside what is called {name}: write {kind}, or rename the set"
            )
            yield Problem(("data", name, "kind"), wrong)
    for name, model in params.trained.items():
        if model.dataset not in params.data:
            key = ("models", "trained", name, "dataset")
            yield Problem(key, f"{model.dataset} is no data set", sorted(params.data), model.dataset)


def _twice(params: Params) -> Iterator[Problem]:
    """Lists that name a model, a data set or a value more than once."""
    groups = [(("evaluate", protocol), getattr(params.evaluate, protocol)) for protocol in PROTOCOLS]
    groups += [(("evaluate",), params.evaluate), (("report",), params.report)]
    groups += [
        (("report", "examples"), params.report.examples),
        *((("data", name), data) for name, data in params.data.items()),
    ]
    for at, group in groups:
        yield from twice_in(group, at)


def twice_in(group: Group, at: Key = ()) -> Iterator[Problem]:
    """Those of one group, which stands at a key."""
    for key in LISTS:
        listed = getattr(group, key, ())
        if isinstance(listed, tuple | dict) and (again := repeated(listed)) is not None:
            yield Problem((*at, key), f"names {again} twice: keep one")


def repeated(listed: Iterable[object]) -> object:
    """The first member that stands in a list more than once."""
    return next((member for member, times in Counter(list(listed)).items() if times > 1), None)


def _leaks(params: Params) -> Iterator[Problem]:
    """Data sets that judge on the photos from which models learn."""
    for name, spec in params.data.items():
        if isinstance(spec, Voc | Folder) and spec.train == spec.val:
            wrong = f"{spec.val} is train too, and no model is to be judged on photos that it learned from: name another"
            yield Problem(("data", name, "val"), wrong)


def _judged(params: Params) -> Iterator[Problem]:
    """Protocols that name models which have no row, or only one half of what they need: models and data sets."""
    rows = params.evaluate.models
    for protocol in PROTOCOLS:
        judged, datasets = params.evaluate.judged(protocol), getattr(params.evaluate, protocol).datasets
        for name in judged:
            if name not in rows:
                yield Problem(("evaluate", protocol, "models"), f"{name} is not in evaluate.models", rows, name)
        if protocol != "dense_nn" and bool(judged) != bool(datasets):
            there, empty = ("models", "datasets") if judged else ("datasets", "models")
            wrong = f"is empty and {there} is not: name what {protocol} judges in both, or in neither to leave it out"
            yield Problem(("evaluate", protocol, empty), wrong)


def _imports(params: Params) -> Iterator[Problem]:
    """Keys of imported weights that are missing, or that mean nothing for weights of this kind."""
    for name, spec in params.models.imported.items():
        kind, needed, also = _kind(spec)
        for key in ("backbone", "image_size", "seed", "format", "stride", "mean", "std"):
            given = getattr(spec, key) is not None
            if given and key not in needed + also:
                yield Problem(("models", "imported", name, key), f"says nothing where weights are {kind}: leave it out")
            elif not given and key in needed:
                yield Problem(("models", "imported", name), f"needs {key}, as weights are {kind}")
        if spec.weights == "random" and spec.backbone is not None and spec.backbone not in BACKBONES:
            key = ("models", "imported", name, "backbone")
            yield Problem(key, f"{spec.backbone!r} is not allowed", list(BACKBONES), spec.backbone)
        patch = BACKBONES[spec.backbone].patch_size if spec.backbone in BACKBONES else 1
        if spec.weights == "random" and spec.image_size is not None and spec.image_size % patch:
            key = ("models", "imported", name, "image_size")
            yield Problem(key, f"{spec.image_size} px is no multiple of {spec.backbone}'s {patch} px patch")


def _kind(spec: Imported) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """What `weights` stands for, the keys that it needs, and those that it may have."""
    if spec.weights == "random":
        return "random", ("backbone", "image_size", "seed"), ()
    if spec.weights in CATALOGUE:
        return "in the catalogue", (), ("stride",)
    if spec.format is not None or spec.weights.endswith(FILES):
        return "a file", ("backbone", "format"), ("image_size", "stride", "mean", "std")
    if "/" in spec.weights:
        return "a folder", (), ()
    return "a name of timm", (), ("stride",)


def _inputs(params: Params) -> Iterator[Problem]:
    """Sizes of images that a protocol or an evaluated model cannot take."""
    evaluate, models = params.evaluate, {**params.trained, **params.models.imported}
    sizes = [("knn", "crop", evaluate.knn.crop), ("hummingbird", "size", evaluate.hummingbird.size)]
    sizes += [("yolos", "grid", side) for side in sorted(set(evaluate.yolos.grid))]
    for protocol, key, size in sizes:
        backbones = {models[name].backbone for name in evaluate.judged(protocol) if name in models}
        for name in sorted(backbones & set(BACKBONES)):
            if size % BACKBONES[name].patch_size:
                wrong = f"{size} px is no multiple of {name}'s {BACKBONES[name].patch_size} px patch"
                yield Problem(("evaluate", protocol, key), wrong)
    if evaluate.knn.crop > evaluate.knn.short_side:
        wrong = (
            f"a crop of {evaluate.knn.crop} px does not fit into a shorter side of {evaluate.knn.short_side} px: lower it"
        )
        yield Problem(("evaluate", "knn", "crop"), wrong)


def _masks(params: Params) -> Iterator[Problem]:
    """Folders whose masks and classes do not go together, and data sets judged on masks that they do not have."""
    for name, spec in params.data.items():
        if isinstance(spec, Folder) and (spec.masks is None) != (spec.classes is None):
            given, lacking = ("classes", "masks") if spec.masks is None else ("masks", "classes")
            yield Problem(("data", name, given), f"needs data.{name}.{lacking} too: what masks hold, and where they are")
    without = {name for name, spec in params.data.items() if not _has_masks(spec)}
    for protocol in MASKS:
        for name in getattr(params.evaluate, protocol).datasets:
            if name in without:
                wrong = f"{name} has no masks, or none of its val images has one"
                yield Problem(("evaluate", protocol, "datasets"), wrong)


def _oracles(params: Params) -> Iterator[Problem]:
    """Models that read masks which their data set does not have."""
    for name, model in params.trained.items():
        spec = params.data.get(model.dataset)
        if spec is None or not needs_masks(model) or _has_masks(spec, "train"):
            continue
        oracle = ("clustering", "algorithm") if model.clustering.algorithm == "labels" else ("matching", "criterion")
        wrong = f"labels reads masks, and {model.dataset}, from which {name} learns, has none"
        yield Problem(_place(params, name, oracle), wrong)


def _has_masks(spec: Scenes | Photos, split: str = "val") -> bool:
    if isinstance(spec, Folder):
        return spec.masks is not None and getattr(spec, split) is not None
    return spec.kind not in ("coco", "imagenet")


def _decoders(params: Params) -> Iterator[Problem]:
    """Segmentation settings that do not fit together, or not the encoders that are judged."""
    models = {**params.trained, **params.models.imported}
    own = {name: BACKBONES[m.backbone] for name, m in models.items() if m.backbone in BACKBONES}
    for protocol in ("linear_segmentation", "segmenter"):
        block = getattr(params.evaluate, protocol)
        for name, overlay in block.datasets.items():
            at = ("evaluate", protocol, "datasets", name)
            p = block.on(name)
            if p.stride > p.window:
                key = (*at, "stride") if "stride" in overlay else ("evaluate", protocol, "stride")
                yield Problem(key, f"windows of {p.window} px every {p.stride} px leave pixels out: lower stride")
            for key in ("crop", "window"):
                side = getattr(p, key)
                if wrong := [m for m in block.models if m in own and side % own[m].patch_size]:
                    place = (*at, key) if key in overlay else ("evaluate", protocol, key)
                    yield Problem(place, f"{side} px is no multiple of {wrong[0]}'s {own[wrong[0]].patch_size} px patch")

    most = max(params.evaluate.linear_segmentation.layers)
    if flat := [name for name in params.evaluate.linear_segmentation.models if name in own and own[name].depth < most]:
        wrong = f"{flat[0]} has {own[flat[0]].depth} blocks, and the last {most} are asked for: lower it"
        yield Problem(("evaluate", "linear_segmentation", "layers"), wrong)


def _shapes(p: Trained) -> Iterator[tuple[Key, str]]:
    """Sizes of one model that do not fit together: key below `pretrain`, and what is wrong."""
    patch, side, o = BACKBONES[p.backbone].patch_size, p.views.size, p.optimisation
    tokens = 2 * (side // patch) ** 2
    if again := repeated(p.losses):
        yield ("losses",), f"names {again} twice: keep one"
    if p.losses != METHODS.get(p.method, p.losses):
        yield ("method",), f"{p.method} is losses: [{METHODS[p.method][0]}] alone: leave method out, or change losses"
    if side % patch:
        yield ("views", "size"), f"{side} px is no multiple of {p.backbone}'s {patch} px patch"
    for group, warmup in (("optimisation", o.warmup_epochs), ("targets", p.targets.warmup_epochs)):
        if warmup > o.epochs:
            yield (group, "warmup_epochs"), f"{warmup} epochs of warm-up do not fit in {o.epochs} epochs"
    peak = o.base_lr * o.batch_size / 256
    if o.min_lr > peak:
        wrong = f"the learning rate would rise to {o.min_lr:g} at the end from its peak of {peak:g}: lower it"
        yield ("optimisation", "min_lr"), wrong
    if not is_mae(p) and p.head.freeze_epochs >= o.epochs:
        wrong = f"in {o.epochs} epochs the prototypes would stay as drawn to the end: lower it below {o.epochs}"
        yield ("head", "freeze_epochs"), wrong
    if p.views.local.count:
        if p.losses != ("global",):
            yield ("views", "local", "count"), "local crops are DINO's and go with losses: [global] alone: set it to 0"
        if p.views.local.size % patch:
            yield ("views", "local", "size"), f"{p.views.local.size} px is no multiple of {p.backbone}'s {patch} px patch"
    if is_mae(p):
        if len(p.losses) > 1:
            yield ("losses",), "pixels is MAE's and stands alone: its network has neither teacher nor head"
        if int(tokens // 2 * (1 - p.mae.mask)) < 1:
            yield ("mae", "mask"), f"of {tokens // 2} patches none is seen when {p.mae.mask:g} are masked: lower it"
        if p.mae.decoder.width % p.mae.decoder.heads:
            yield ("mae", "decoder"), f"a width of {p.mae.decoder.width} cannot be split over {p.mae.decoder.heads} heads"
    if needs_objects(p):
        if tokens < p.clustering.K and p.clustering.algorithm != "labels":
            yield (
                ("clustering", "K"),
                f"{p.clustering.K} clusters need as many tokens, and two views of {side} px have {tokens}: "
                "lower K or raise views.size",
            )
        if p.clustering.algorithm == "sinkhorn":
            yield from _groups(("clustering", "normalise_images"), p.clustering.normalise_images, o.batch_size)
        yield from _groups(("targets", "mean_images"), p.targets.mean_images, o.batch_size)
    if needs_bank(p):
        if p.matching.first_epoch >= o.epochs:
            yield (
                ("matching", "first_epoch"),
                f"the cross-image loss starts with epoch {p.matching.first_epoch}, counted from 0, and training has "
                f"{o.epochs}: lower it, or leave cross_image out of losses",
            )
        if p.memory_bank.images < o.batch_size:
            yield (
                ("memory_bank", "images"),
                f"the bank holds {p.memory_bank.images} images and a batch has {o.batch_size}: "
                "it must hold at least one batch",
            )
        if p.matching.criterion == "cycle":
            yield from _groups(("matching", "pool_images"), p.matching.pool_images, o.batch_size)


def _on_scenes(p: Trained, spec: Scenes | Photos | None) -> Iterator[tuple[Key, str]]:
    """What params.yaml alone tells of a model and generated photos: whether they fill a batch, and K for true clusters."""
    if not isinstance(spec, Scenes):
        return
    batch, clustering = p.optimisation.batch_size, p.clustering
    if batch > spec.train:
        yield (
            ("optimisation", "batch_size"),
            f"{spec.train} training images in {p.dataset} do not fill one batch of {batch}: lower it",
        )
    if needs_objects(p) and clustering.algorithm == "labels" and clustering.K < SCENE_CLASSES:
        yield (
            ("clustering", "K"),
            f"{clustering.K} clusters are too few for labels, one for each of the {SCENE_CLASSES} classes of {p.dataset}: "
            f"raise it to {SCENE_CLASSES}",
        )


def _groups(key: Key, size: int, batch: int) -> Iterator[tuple[Key, str]]:
    if batch % size:
        yield key, f"a batch of {batch} images cannot be split into groups of {size}"
