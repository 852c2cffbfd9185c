"""Read and check result files: those that the plan asks for, and no others."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from numbers import Real
from pathlib import Path

from cribo.report.experiment.planned import Planned, planned

Results = dict[Planned, dict]  # the JSON tree of each result that exists; one that has not run is absent

# Fields that tables read beside `value`.
NUMBERS = {"hummingbird": ("mIoU", "mIoU_unmatched"), "yolos": ("AP", "AP50", "AP75")}


class ReportError(ValueError):
    """A result file that cannot be put into a table: one sentence for the user."""


@contextmanager
def read_as(what: str, path: object, remedy: str = "delete it and run its stage again") -> Iterator[None]:
    """Turn errors of reading a malformed file into a ReportError, which says that `path` is no `what`."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ReportError(f"{path} is not a {what} ({error!r}): {remedy}") from None


def as_result(cell: Planned) -> AbstractContextManager[None]:
    """`read_as` for the fields beside the scores in a result from `read_results`."""
    return read_as(f"result of {cell.protocol}", cell.path(Path("results")))


def read_results(plan: dict, results: Path) -> Results:
    """Read every result of the plan that exists, in the plan's order.

    `plan` is results/plan/report.yaml, `results` the folder results/.

    Raises:
        ReportError: one of these files is not JSON, lacks scores, or is about something else.
    """
    paths = {cell: cell.path(Path(results)) for cell in planned(plan)}
    return {cell: _read(cell, path) for cell, path in paths.items() if path.exists()}


def of_protocol(results: Results, protocol: str, layers: int | None = None) -> Results:
    """The results of one protocol and, if it has layers, of that number of layers."""
    return {cell: tree for cell, tree in results.items() if (cell.protocol, cell.layers) == (protocol, layers)}


def _read(cell: Planned, path: Path) -> dict:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (ValueError, OSError, RecursionError) as error:
        raise ReportError(f"{path} cannot be read as JSON ({error}): delete it and run its stage again") from None
    with read_as(f"result of {cell.protocol}", path):
        about = _about(tree, cell)
        _check(tree, cell.protocol)
    if about != cell:
        raise ReportError(f"{path} is about {about.name}, not {cell.name}: delete it and run its stage again")
    return tree


def _no_number(constant: str) -> None:
    """Reject NaN and infinities, which no stage writes."""
    raise ValueError(f"it holds {constant}")


def _about(tree: dict, cell: Planned) -> Planned:
    """What the file itself says it is about; layers and learning rate only where the cell has them."""
    layers = None if cell.layers is None else tree["layers"]
    lr = None if cell.lr is None else tree["learning_rate"]
    return Planned(cell.protocol, tree["model"], tree["dataset"], layers, lr)


def _check(tree: dict, protocol: str) -> None:
    """Raise an error, which `_read` reports, where a score is missing or is not a number."""
    numbers = [tree[name] for name in ("value", *NUMBERS.get(protocol, ()))]
    if protocol == "dense_nn":
        for share, score in (pair for level in ("patch", "pixel") for pair in tree[level].items()):
            if not share.startswith("1/") or not isinstance(score["std"], Real | None) or not len(score["runs"]):
                raise ValueError(f"{share}: {score}")
            numbers.append(score["mean"])
    if not all(isinstance(number, Real) and math.isfinite(number) for number in numbers):
        raise ValueError(numbers)
    if not isinstance(warnings := tree.get("data_warnings", []), list):
        raise ValueError(f"data_warnings: {warnings}")
