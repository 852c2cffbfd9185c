"""The schema of params.yaml: typed, bounded, unknown keys refused, every mistake reported at once.

`load()` is the only way in. The groups follow the effect of a change: `data` (photos), `pretrain` (what every pretrained
model shares), `models` (the rows of the tables: overlays of `pretrain`, or weights from elsewhere), `evaluate` (the
protocols), `report`, and `compute`, which must not change any result. Values and their sources stand in params.yaml.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError

from cribo.fidelity import WORD, Fidelity, resolved
from cribo.model.foreign.formats import FORMATS
from cribo.params_errors import ParamsError, Problem, lines_of_text, problems_of, read
from cribo.params_evaluate import Evaluate, LinearDecoding, SegmenterDecoding
from cribo.params_types import Count, Group, Name, NonNegative, Positive, Share, Span, Whole, merged

Backbone = Literal["vit_demo_8", "vit_mini_16", "vit_tiny_16", "vit_small_16", "vit_small_8", "vit_base_16"]
Loss = Literal["global", "cross_view", "cross_image", "pixels"]


def _or_fidelity(kind: object) -> object:
    """A value of this kind, or the word `fidelity`: then `pretrain.fidelity` decides."""
    word, value = Annotated[Literal["fidelity"], Tag("word")], Annotated[kind, Tag("value")]
    return Annotated[word | value, Discriminator(lambda given: "word" if given == WORD else "value")]


# ---------------------------------------------------------------------------------------------------------------- data
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


Data = Annotated[Scenes | Voc | Published | Folder, Field(discriminator="kind")]


# ------------------------------------------------------------------------------------------------------------ pretrain
class LocalCrops(Span):
    count: Whole
    size: Annotated[int, Field(ge=8, multiple_of=8)]
    crop_area: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
    blur: Share


class Views(Span):
    size: Annotated[int, Field(ge=16, multiple_of=8)]
    crop_area: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
    crop_aspect: tuple[Positive, Positive]
    flip: Share
    jitter: Share
    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    grayscale: Share
    blur: tuple[Share, Share]
    blur_radius: tuple[NonNegative, NonNegative]
    solarise: tuple[Share, Share]
    local: LocalCrops


class Head(Group):
    hidden: Count
    bottleneck: Count
    prototypes: Annotated[int, Field(ge=2)]
    norm_last_layer: bool
    freeze_epochs: Whole


class Clustering(Group):
    algorithm: Literal["sinkhorn", "kmeans", "labels"]
    K: Annotated[int, Field(ge=2)]
    lambda_pos: NonNegative
    sharpness: Annotated[float, Field(gt=0, le=80)]  # exp(-80) is the last that fp32 can tell from zero
    outer_iterations: Count
    sinkhorn_iterations: Count
    marginals: _or_fidelity(Literal["histogram", "uniform"])
    exclude_self: _or_fidelity(bool)
    centroids: _or_fidelity(Literal["unit", "raw"])
    normalise_images: _or_fidelity(Count)


class MemoryBank(Group):
    images: Count
    exclude_same_image: bool


class Matching(Group):
    criterion: Literal["cycle", "none", "labels"]
    pool_images: _or_fidelity(Count)
    first_epoch: _or_fidelity(Whole)


class Targets(Group):
    student_temperature: Positive
    teacher_temperature: tuple[Positive, Positive]
    warmup_epochs: Whole
    centre_momentum: Share
    directions: _or_fidelity(Literal["mean", "sum"])
    mean_images: _or_fidelity(Count)


class Decoder(Group):
    width: Annotated[int, Field(ge=4, multiple_of=4)]
    depth: Count
    heads: Count


class MAE(Group):
    mask: Annotated[float, Field(gt=0, lt=1)]
    normalise: bool
    decoder: Decoder


class Optimisation(Group):
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    base_lr: Positive
    min_lr: NonNegative
    warmup_epochs: Whole
    weight_decay: tuple[NonNegative, NonNegative]
    clip_norm: NonNegative
    beta2: Annotated[float, Field(ge=0, lt=1)]
    ema: tuple[Share, Share]


class Pretrain(Group):
    """What all models share. What says `fidelity` gets its value model by model, in `Params.model`."""

    fidelity: Fidelity
    seed: Whole
    backbone: Backbone
    drop_path: Annotated[float, Field(ge=0, lt=1)]
    losses: Annotated[tuple[Loss, ...], Field(min_length=1)]
    views: Views
    head: Head
    clustering: Clustering
    memory_bank: MemoryBank
    matching: Matching
    targets: Targets
    mae: MAE
    optimisation: Optimisation


# -------------------------------------------------------------------------------------- models, evaluations and the rest
class Imported(Group):
    """Weights from elsewhere; params_checks.py says which keys go with which `weights`, docs/encoders.md explains them."""

    weights: Annotated[str, Field(min_length=1)]
    backbone: str | None = None
    image_size: Annotated[int, Field(ge=14)] | None = None
    seed: Whole | None = None
    format: Literal[tuple(FORMATS)] | None = None
    stride: Literal[8, 16, 32] | None = None
    row: str | None = None


class Trained(Pretrain):
    """One pretrained model: the photos it learns from, and `pretrain` with the model's overlay applied."""

    dataset: Name
    row: str | None = None
    method: Literal["CrIBo", "DINO", "MAE"] = "CrIBo"


class Models(Group):
    trained: dict[Name, dict]
    imported: dict[Name, Imported]


class Examples(Group):
    models: tuple[Name, ...]
    datasets: tuple[Name, ...]
    photos: Count
    bank: Count


class Report(Group):
    title: str
    reference: Name
    tables: tuple[Annotated[int, Field(ge=1, le=12)], ...]
    tolerance: NonNegative
    examples: Examples


class Compute(Group):
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    tf32: bool
    compile: bool
    recompute: bool
    micro_batch: Whole
    shard_bank: bool
    workers: Whole
    threads: Whole
    feature_memory_gb: NonNegative
    checkpoint_steps: Count
    keep_states: Annotated[int, Field(ge=2)]  # one may be damaged
    save_in_background: bool
    log_steps: Count


class Params(Group):
    """Everything in params.yaml. `trained` holds each pretrained model with its overlay applied and checked."""

    data: dict[Name, Data]
    pretrain: Pretrain
    models: Models
    evaluate: Evaluate
    report: Report
    compute: Compute

    @property
    def trained(self) -> dict[str, Trained]:
        return {name: self.model(name) for name in self.models.trained}

    def model(self, name: str) -> Trained:
        """A trained model with its overlay applied, and values for `fidelity`. Raises pydantic's ValidationError."""
        given = self.unresolved(name).model_dump(mode="json")
        return Trained.model_validate(as_tuples(resolved(given)), strict=True)

    def unresolved(self, name: str) -> Trained:
        """`model` as the file has it: what says `fidelity` still does. Raises pydantic's ValidationError."""
        base = self.pretrain.model_dump(mode="json")
        return Trained.model_validate(as_tuples(merged(base, self.models.trained[name])), strict=True)


def as_tuples(tree: object) -> object:
    """YAML's lists as tuples: parameters are values, and strict validation wants the type itself."""
    if isinstance(tree, dict):
        return {key: as_tuples(value) for key, value in tree.items()}
    return tuple(as_tuples(item) for item in tree) if isinstance(tree, list) else tree


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check a parameter file.

    Raises:
        ParamsError: one sentence a mistake, all mistakes at once: key, file and line, what is allowed.
    """
    return parse(read(Path(path)), Path(path))


def parse(text: str, path: Path) -> Params:
    """`load` for text at hand; `path` is for messages."""
    from cribo.params_checks import contradictions  # which knows this schema

    tree, lines = lines_of_text(text, path)
    problems: list[Problem] = []
    try:
        params = Params.model_validate(as_tuples(tree), strict=True)
    except ValidationError as error:
        raise ParamsError(problems_of(error, Params, ()), path, lines) from None
    for name in params.models.trained:
        try:
            params.model(name)
        except ValidationError as error:
            problems += problems_of(error, Trained, ("models", "trained", name))
    for protocol in ("linear_segmentation", "segmenter"):
        block = getattr(params.evaluate, protocol)
        for name in block.datasets:
            try:
                block.on(name)
            except ValidationError as error:
                kind = LinearDecoding if protocol == "linear_segmentation" else SegmenterDecoding
                problems += problems_of(error, kind, ("evaluate", protocol, "datasets", name))
    problems = problems or list(contradictions(params))
    if problems:
        raise ParamsError(problems, path, lines)
    return params


def complete_data(settings: dict) -> dict:
    """An entry of `data` with every default filled in. Raises pydantic's ValidationError."""
    return TypeAdapter(Data).validate_python(as_tuples(settings), strict=True).model_dump(mode="json")


def is_mae(p: Pretrain) -> bool:
    """Whether this model is a masked autoencoder: no teacher, no head, no objects."""
    return "pixels" in p.losses


def needs_objects(p: Pretrain) -> bool:
    """Whether any loss of this model reads objects, hence clusters."""
    return bool({"cross_view", "cross_image"} & set(p.losses))


def needs_bank(p: Pretrain) -> bool:
    """Whether this model's losses read the memory bank."""
    return "cross_image" in p.losses


def needs_masks(p: Pretrain) -> bool:
    """Whether an oracle of this model reads the masks of its data set (Table 11)."""
    return needs_objects(p) and (p.clustering.algorithm == "labels" or (needs_bank(p) and p.matching.criterion == "labels"))
