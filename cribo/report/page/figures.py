"""The figures of an experiment: training curves, the sweeps of Table 4, the step of Table 9."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass

from cribo.report.experiment.curves import BOOTSTRAPPING, Curves, points
from cribo.report.page.charts import Line, lines, stacked
from cribo.report.paper import values as paper

SWEPT = {"clustering.lambda_pos": ("λ_pos", "lambda_pos"), "memory_bank.images": ("S", "S"), "clustering.K": ("K", "K")}


@dataclass(frozen=True)
class Figure:
    """`name` is the file name without suffix; `title` and `caption` stand above and below."""

    name: str
    title: str
    caption: str
    svg: str


def training_figures(curves: Curves, labels: dict[str, str]) -> list[Figure]:
    """Losses, bootstrapping ratio (Fig. 6) and clusters over the epochs; figures without data of any model are left out."""
    wanted = [
        ("loss", "Loss", "loss", "All terms together (Eq. 11): models with more terms have a higher one."),
        ("loss_global", "Global loss, L_cv^g", "loss", "Between the two views of a photo (Eq. 10)."),
        ("loss_cross_view", "Object loss across views, L_cv^o", "loss", "Between an object's two views (Eq. 6)."),
        (
            "loss_cross_image",
            "Object loss across photos, L_ci^o",
            "loss",
            "Between an object and its neighbour in the bank (Eq. 8), once it is on.",
        ),
        (
            "bootstrapping",
            "Bootstrapping ratio (Fig. 6)",
            "share of K clusters",
            "Of a photo's K clusters, live or not, those learnt from a neighbour; mean of both directions.",
        ),
        ("live_clusters", "Live clusters", "clusters", "Of a photo's K clusters, those that hold a patch."),
        ("valid_objects", "Objects in both views", "objects", "Of a photo's clusters, those that both views show."),
    ]
    figures = []
    for name, title, ylabel, caption in wanted:
        columns = BOOTSTRAPPING if name == "bootstrapping" else (name,)
        found = {model: points(curve, columns) for model, curve in curves.items()}
        drawn = {
            labels[m]: Line(x, y, colour=i) for i, (m, (x, y)) in enumerate(found.items()) if x
        }  # a model has the same colour in every figure
        if drawn:
            figures.append(Figure(name, title, caption, lines(name, ylabel, "epoch", drawn)))
    return figures


def sweep_figures(
    trained: dict[str, dict], values: dict[tuple[str, str], float], share: int, with_paper: bool
) -> list[Figure]:
    """mIoU against λ_pos, S and K, one at a time (Table 4), for models that otherwise differ only in their seed.

    `values`: dense retrieval by (model, data set), with 1/`share` of the training photos in memory. `with_paper` adds the
    paper's curves, which are for all photos, so only where `share` is 1.
    """
    with_paper = with_paper and share == 1
    what = "Dense retrieval" if share == 1 else f"Dense retrieval with 1/{share} of the training photos"
    figures = []
    for key, (symbol, field) in SWEPT.items():
        drawn: dict[str, Line] = {}
        for dataset in dict.fromkeys(dataset for _, dataset in values):
            for n, found in enumerate(_sweeps(trained, values, key, dataset), 1):
                label = dataset if n == 1 else f"{dataset} ({n})"
                xs = sorted(found)
                spread = [statistics.stdev(found[x]) if len(found[x]) > 1 else 0.0 for x in xs]
                drawn[label] = Line(xs, [statistics.fmean(found[x]) for x in xs], spread=spread if any(spread) else None)
        if with_paper:
            drawn |= _printed_sweep(field)
        if drawn:
            title = f"mIoU against {symbol} (Table 4)"
            shaded = "; shaded: standard deviation between seeds" if any(line.spread for line in drawn.values()) else ""
            caption = f"{what}, all else equal{shaded}" + ("; dashed: the paper's." if with_paper else ".")
            svg = lines(f"sweep_{field}", "mIoU (%)", symbol, drawn, swept=True)
            figures.append(Figure(f"sweep_{field}", title, caption, svg))
    return figures


def _sweeps(trained: dict[str, dict], values: dict, key: str, dataset: str) -> list[dict[float, list[float]]]:
    """Scores by value of `key`, for each group of three values or more whose models otherwise differ only in seed."""
    group, name = key.split(".")
    alike: dict[str, dict[float, list[float]]] = {}
    for model, settings in trained.items():
        if (model, dataset) not in values or name not in settings.get(group, {}):
            continue
        rest = {**settings, "seed": None, group: {k: v for k, v in settings[group].items() if k != name}}
        found = alike.setdefault(json.dumps(rest, sort_keys=True), {})
        found.setdefault(settings[group][name], []).append(values[model, dataset])
    return [found for found in alike.values() if len(found) >= 3]


def _printed_sweep(field: str) -> dict[str, Line]:
    drawn: dict[str, dict[float, float]] = {}
    for cell in paper.cells():
        if cell.table == 4 and cell.setting == f"ablation_{field}":
            label = f"paper, {cell.eval_dataset}{'' if cell.factor['ci'] else ' w/o L_ci^o'}"
            drawn.setdefault(label, {})[cell.factor[field]] = float(cell.value)
    return {label: Line(sorted(own), [own[x] for x in sorted(own)], paper=True) for label, own in drawn.items()}


def step_figure(about: str, profile: dict[str, float]) -> Figure:
    """Table 9 as bars: the share of a step that each component takes, ours and the paper's."""
    printed = {
        cell.factor["component"]: float(cell.value) for cell in paper.cells() if cell.table == 9 and cell.metric == "percent"
    }
    total = sum(profile.values())
    bars = {
        "paper": {part.replace("_", " "): printed.get(part, 0.0) for part in profile},
        "ours": {part.replace("_", " "): 100 * value / total for part, value in profile.items()},
    }
    caption = f"Paper: ViT-B/16, K 12, four MI250X. Ours: {about}."
    return Figure("step", "A training step by component (Table 9)", caption, stacked("step", "share of a step (%)", bars))
