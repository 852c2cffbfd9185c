"""Result files read back and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from pathlib import Path


class ReportError(ValueError):
    """A result file that cannot be put into a table: one sentence for the user."""


def results_of(plan_: dict, results: Path) -> Iterator[tuple[str, str, dict]]:
    """(protocol, file name without suffix, tree) of every result about the experiment's models, in the plan's order."""
    for protocol in ("dense_nn", "hummingbird", "linear_segmentation", "segmenter", "knn", "yolos"):
        cells = plan_.get(protocol, {"models": (), "datasets": ()})
        for path in sorted((results / "scores" / protocol).glob("*.json")):
            try:
                tree = json.loads(path.read_text(encoding="utf-8"))
                asked = tree["model"] in cells["models"] and tree["dataset"] in cells["datasets"]
            except (ValueError, KeyError, TypeError) as error:
                raise ReportError(
                    f"{path} is no result of {protocol} ({error!r}): delete it and run its stage again"
                ) from None
            if asked:
                yield protocol, path.stem, tree


@dataclass(frozen=True)
class Score:
    """mIoU in percent: mean, standard deviation between runs (None for one run) and number of runs."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class DenseNNResult:
    """Scores of one model on one data set, by factor, and what the data set's manifest warns of."""

    patch: dict[int, Score]
    pixel: dict[int, Score]
    warnings: tuple[str, ...] = ()


def read_dense_nn(path: str | Path, model: str, dataset: str) -> DenseNNResult | None:
    """The result in `path`, None where the file does not exist.

    Raises:
        ReportError: the file is no JSON, lacks scores, or is about another model or data set.
    """
    path = Path(path)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise ReportError(f"{path} cannot be read as JSON ({error}): delete it and run its stage again") from None
    try:
        about = (tree["model"], tree["dataset"])
        result = DenseNNResult(_scores(tree["patch"]), _scores(tree["pixel"]), tuple(tree.get("data_warnings", ())))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReportError(
            f"{path} is no dense nearest-neighbour result ({error!r}): delete it and run its stage again"
        ) from None
    if about != (model, dataset):
        raise ReportError(f"{path} is about {about[0]} on {about[1]}, not {model} on {dataset}")
    return result


def _scores(tree: dict) -> dict[int, Score]:
    scores = {}
    for share, score in tree.items():
        one, factor = share.split("/")
        if one != "1" or not isinstance(score["mean"], Real) or not isinstance(score["std"], Real | None):
            raise ValueError(f"{share}: {score}")
        scores[int(factor)] = Score(score["mean"], score["std"], len(score["runs"]))
    return scores
