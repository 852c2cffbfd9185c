"""Notes below a table: what was averaged, warnings about the data, and where training or evaluation is not the paper's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from cribo.report.experiment.planned import Planned
from cribo.report.experiment.results import Results
from cribo.report.paper.settings import of_judging
from cribo.report.tables.table import Column, Number, Row
from cribo.report.tables.training_notes import photos_notes, training_notes

FACTOR_ONE = [1]  # evaluate.dense_nn.subsample that draws nothing, so that there is one run


def cautions(
    columns: Sequence[Column],
    rows: Sequence[Row],
    models: Mapping[str, Sequence[str]],
    results: Results,
    setups: dict[str, dict],
) -> tuple[str, ...]:
    """Return every kind of note for a table of `results`: `models` by row label, data sets as the columns' groups.

    Results count as compared with the paper where their row shows a difference. `setups`: from `counterparts.models_of`.
    """
    compared = {
        (model, column.group)
        for row in rows
        for column, cell in zip(columns, row.cells, strict=True)
        if column.kind == "difference" and isinstance(cell, Number)
        for model in models[row.label]
    }
    beside = {cell: tree for cell, tree in results.items() if (cell.model, cell.dataset) in compared}
    training = training_notes(setups, [cell.model for cell in beside])
    others = photos_notes(setups, [cell.model for cell in results]) if any(c.kind == "difference" for c in columns) else ()
    return (*_shared_note(models), *training, *others, *settings_notes(beside), *data_notes(results))


def _shared_note(models: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What a number and its ± mean in rows of several models, if there are such rows."""
    listed = "; ".join(f"{label} ({', '.join(own)})" for label, own in models.items() if len(own) > 1)
    what = "Rows of several models give their mean, and ± is the standard deviation (n − 1) between them"
    return (f"{what}: {listed}.",) if listed else ()


def data_notes(results: Results) -> tuple[str, ...]:
    """The warnings in the manifests of these results' data sets, each once: one note per data set."""
    said: dict[str, dict[str, None]] = {}
    for cell, tree in results.items():
        said.setdefault(cell.dataset, {}).update(dict.fromkeys(tree.get("data_warnings", ())))
    return tuple(f"{dataset}: {'; '.join(warnings)}." for dataset, warnings in said.items() if warnings)


def settings_notes(compared: Results) -> tuple[str, ...]:
    """Which settings differ between the evaluation of these results and that of the paper's values: one note, or none."""
    said: dict[str, dict[str, None]] = {}
    for cell, tree in compared.items():
        found = said.setdefault(f"{cell.protocol} on {cell.dataset}", {})
        found.update(dict.fromkeys(_differences(cell, _settings(cell, tree, compared))))
    listed = "; ".join(f"{where}: {', '.join(what)}" for where, what in said.items() if what)
    if not listed:
        return ()
    return (f"Not judged as in the paper, whose settings, or those of the work that it follows, are in brackets. {listed}.",)


def _differences(cell: Planned, settings: dict) -> list[str]:
    return [
        f"{name} {json.dumps(settings[name])} ({source}: {json.dumps(value)})"
        for name, (value, source) in of_judging(cell.protocol, cell.dataset).items()
        if name in settings and settings[name] != value
    ]


def _settings(cell: Planned, tree: dict, compared: Results) -> dict:
    """The settings in the result's card, and the learning rates among which the table shows its model's best."""
    card = tree.get("protocol", {})
    settings = dict(card.get("settings", card))
    if settings.get("subsample") == FACTOR_ONE:
        settings.pop("runs", None)
    if cell.lr is not None:
        alike = (other.lr for other in compared if _decoder(other) == _decoder(cell))
        settings["learning_rates"] = sorted(alike, reverse=True)
    return settings


def _decoder(cell: Planned) -> tuple:
    return cell.protocol, cell.model, cell.dataset, cell.layers
