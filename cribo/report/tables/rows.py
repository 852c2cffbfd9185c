"""Rows of an experiment's tables: models whose rows have one label are one row, and are averaged."""

from __future__ import annotations


def models_by_row(plan: dict, protocol: str) -> dict[str, list[str]]:
    """The models that a protocol judges by the label of their row, in the order of params.yaml.

    `plan` is results/plan/report.yaml.
    """
    rows: dict[str, list[str]] = {}
    for model in plan[protocol]["models"]:
        rows.setdefault(plan["models"][model]["row"], []).append(model)
    return rows
