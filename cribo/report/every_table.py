"""All tables of an experiment: its own, in the order of the protocols, and those of the paper that it asks for."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from cribo.report.dense_nn_table import dense_nn_table, read_results
from cribo.report.ours import Ours
from cribo.report.paper_tables import paper_table
from cribo.report.results import ReportError
from cribo.report.segmentation_table import segmentation_tables
from cribo.report.single_value_tables import KNN, YOLOS, read_values, value_table
from cribo.report.table import Table


def own_tables(plan: dict, trained: dict[str, dict], scores: Path) -> list[Table]:
    """Rows and columns are what params.yaml evaluates. `plan` is results/plan/report.yaml, `scores` results/scores."""
    tables = []
    if plan["dense_nn"]["datasets"]:
        tables.append(dense_nn_table(plan, trained, read_results(plan, scores / "dense_nn")))
    tables += segmentation_tables(plan, trained, scores)
    for kind in (KNN, YOLOS):
        if plan[kind.protocol]["datasets"]:
            tables.append(value_table(kind, plan, trained, read_values(kind, plan, scores)))
    return tables


def paper_tables(plan: dict, trained: dict[str, dict], results: Path) -> list[Table]:
    """Those that `report.tables` names, in the paper's order; `trained` comes from `trained_settings`."""
    ours = Ours(plan, trained, results / "scores")
    about, profile = step_profile(results / "benchmarks/step.json")
    return [paper_table(number, ours, profile, about) for number in sorted(set(plan["tables"]))]


def step_profile(path: Path) -> tuple[str, dict[str, float] | None]:
    """What benchmarks/step.py measured of a step, and on what: milliseconds by component, None where it has not run."""
    if not path.exists():
        return "", None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        phases = tree["rows"].get("phases", {}).get("phases")
        return tree["about"], {name: 1e3 * seconds for name, seconds in phases.items()} if phases else None
    except (ValueError, KeyError, AttributeError) as error:
        raise ReportError(
            f"{path} is no result of benchmarks/step.py ({error!r}): delete it or run the benchmark again"
        ) from None


def trained_settings(plan: dict, folder: Path) -> dict[str, dict]:
    """Settings by trained model, of those that are evaluated; `folder` is results/plan/pretrain."""
    paths = {name: folder / f"{name}.yaml" for name in plan["models"]}
    return {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}
