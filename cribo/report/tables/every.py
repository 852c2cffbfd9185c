"""All tables of an experiment: its own, by protocol, and the tables of the paper that params.yaml asks for."""

from __future__ import annotations

from pathlib import Path

import yaml

from cribo.report.experiment.results import Results
from cribo.report.experiment.step_benchmark import StepBenchmark
from cribo.report.tables.dense_nn import dense_nn_table
from cribo.report.tables.ours import Ours
from cribo.report.tables.paper import paper_table
from cribo.report.tables.segmentation import segmentation_tables
from cribo.report.tables.single_value import HUMMINGBIRD, KNN, YOLOS, Kind, value_table
from cribo.report.tables.table import Table


def own_tables(plan: dict, trained: dict[str, dict], results: Results) -> list[Table]:
    """The experiment's own tables: rows and columns are what params.yaml evaluates. `plan` is results/plan/report.yaml."""

    def valued(*kinds: Kind) -> list[Table]:
        return [value_table(kind, plan, trained, results) for kind in kinds if plan[kind.protocol]["datasets"]]

    dense = [dense_nn_table(plan, trained, results)] if plan["dense_nn"]["datasets"] else []
    return [*dense, *valued(HUMMINGBIRD), *segmentation_tables(plan, trained, results), *valued(KNN, YOLOS)]


def paper_tables(plan: dict, trained: dict[str, dict], results: Results, step: StepBenchmark | None = None) -> list[Table]:
    """The paper's tables that `report.tables` names, in the paper's order; `trained` comes from `trained_settings`."""
    ours = Ours(plan, trained, results)
    return [paper_table(number, ours, step) for number in sorted(set(plan["tables"]))]


def trained_settings(plan: dict, folder: Path) -> dict[str, dict]:
    """Settings of each evaluated model that is trained here; `folder` is results/plan/pretrain."""
    paths = {name: folder / f"{name}.yaml" for name in plan["models"]}
    return {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}
