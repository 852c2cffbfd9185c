"""Names of models and data sets that do not exist, and what is named twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from cribo.params.errors import Key, Problem
from cribo.params.evaluate import KINDS, PROTOCOLS
from cribo.params.schema import Params
from cribo.params.types import Group

# Kinds of the paper's data sets, by their names in the tables (cribo/report/paper/values.py).
PAPERS = {"voc2012": "voc"} | {name: name for name in ("ade20k", "pascal_context", "coco_stuff", "coco", "imagenet")}
# Lists whose members are each a class, a cell, a column or a vote; hummingbird's k is a single number.
LISTS = ("classes", "models", "datasets", "subsample", "k", "layers", "learning_rates", "tables")


def problems(params: Params) -> Iterator[Problem]:
    """Names that refer to nothing, that occur twice, or that a protocol cannot judge."""
    yield from _names(params)
    yield from _twice(params)
    yield from _judged(params)


def _names(params: Params) -> Iterator[Problem]:
    """Models and data sets that are named but do not exist, or do not fit where they are named."""
    known = {*params.models.trained, *params.models.imported}
    for name in sorted(set(params.models.trained) & set(params.models.imported)):
        yield Problem(("models", "imported", name), f"{name} is a trained model too: every model needs its own name")
    for name in params.evaluate.models:
        if name not in known:
            yield Problem(("evaluate", "models"), f"{name} is not a model", sorted(known), name)
    judged = [name for name in params.evaluate.models if name in known]
    reference = params.report.reference
    if reference not in judged:
        yield Problem(("report", "reference"), f"{reference} is not evaluated", judged, reference)
    for what, names in (("models", judged), ("datasets", sorted(params.data))):
        for name in getattr(params.report.examples, what):
            if name not in names:
                wrong = f"{name} is {'not evaluated' if what == 'models' else 'not a data set'}"
                yield Problem(("report", "examples", what), wrong, names, name)
    for protocol in PROTOCOLS:
        for name in getattr(params.evaluate, protocol).datasets:
            key = ("evaluate", protocol, "datasets")
            if name not in params.data:
                yield Problem(key, f"{name} is not a data set", sorted(params.data), name)
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
            yield Problem(key, f"{model.dataset} is not a data set", sorted(params.data), model.dataset)


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
    """Repetitions in the lists of one group, which has the key `at`."""
    for key in LISTS:
        listed = getattr(group, key, ())
        if isinstance(listed, tuple | dict) and (again := repeated(listed)) is not None:
            yield Problem((*at, key), f"names {again} twice: keep one")


def repeated(listed: Iterable[object]) -> object:
    """The first member that occurs in a list more than once, or None."""
    return next((member for member, times in Counter(list(listed)).items() if times > 1), None)


def _judged(params: Params) -> Iterator[Problem]:
    """Protocols that name models without a row, or that name models but no data sets, or data sets but no models."""
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
