"""results/report.html: what was run, what came out, and how, on one self-contained page."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from pathlib import Path

from cribo.report.experiment import description as experiment
from cribo.report.experiment.curves import read_curves
from cribo.report.experiment.photos import with_photos
from cribo.report.experiment.planned import Planned
from cribo.report.experiment.results import Results, of_protocol, read_results
from cribo.report.experiment.step_benchmark import StepBenchmark, read_step
from cribo.report.page.example_pages import examples
from cribo.report.page.figures import Figure, step_figure, sweep_figures, training_figures
from cribo.report.page.markup import folded, grid, page, paragraph
from cribo.report.render.symbols import as_html
from cribo.report.render.to_html import render_html
from cribo.report.tables.every import own_tables, paper_tables, trained_settings

NAMES = {
    "dense_nn": "dense retrieval, patch mIoU",
    "hummingbird": "open-hummingbird, mIoU",
    "linear_segmentation": "linear segmentation, mIoU",
    "segmenter": "Segmenter, mIoU",
    "knn": "k-NN, top-1 accuracy",
    "yolos": "YOLOS, box AP",
}


def report(plan: dict, results: Path) -> tuple[str, list[Figure]]:
    """The page and the figures on it. `plan` is results/plan/report.yaml; everything else is read under `results`.

    The cell of a result that does not exist yet says so. Raises ReportError for a corrupt result.
    """
    trained = trained_settings(plan, results / "plan/pretrain")
    plan = with_photos(plan, trained, results / "pretrain")
    found, step = read_results(plan, results), read_step(results / "benchmarks/step.json")
    figures = all_figures(plan, trained, found, results / "pretrain", step)
    lead = f'<p class="lead">{escape(_lead(plan, trained))}</p>'
    shown = "\n".join(examples(results / "examples" / name) for name in _example_names(plan))
    sections = [
        ("results", "Results", _cards(plan, found) + _tables(plan, trained, found, step)),
        ("training", "Training", _charts(figures)),
        ("examples", "Examples", shown.strip()),
        ("parameters", "Parameters", _parameters(trained)),
        ("cost", "Time and memory", _costs(found, trained, results / "pretrain")),
        ("versions", "Versions and hashes", _versions(found, trained)),
    ]
    foot = "Made by <code>python -m stages.report</code> from result files alone: the same files give the same page."
    return page(plan["title"], lead, sections, foot), figures


def all_figures(
    plan: dict, trained: dict[str, dict], results: Results, pretrained: Path, step: StepBenchmark | None
) -> list[Figure]:
    """All figures for which there are data; `pretrained` is results/pretrain."""
    labels = {name: _label(plan, name) for name in plan["models"]}
    figures = training_figures(read_curves(list(trained), pretrained), labels)
    values = {(cell.model, cell.dataset): tree["value"] for cell, tree in of_protocol(results, "dense_nn").items()}
    figures += sweep_figures(trained, values, min(plan["dense_nn"]["subsample"], default=1), 4 in plan["tables"])
    return [*figures, *([step_figure(step.about, step.profile)] if step and step.profile else [])]


def _label(plan: dict, name: str) -> str:
    """The label of a model's row, followed by the model's name if several models share the row."""
    row = plan["models"][name]["row"]
    return row if sum(own["row"] == row for own in plan["models"].values()) == 1 else f"{row} ({name})"


def _lead(plan: dict, trained: dict[str, dict]) -> str:
    backbones = ", ".join(dict.fromkeys(settings["backbone"]["name"] for settings in trained.values()))
    photos = ", ".join(dict.fromkeys(settings["dataset"] for settings in trained.values()))
    epochs = ", ".join(dict.fromkeys(str(settings["optimisation"]["epochs"]) for settings in trained.values()))
    models = f"{len(trained)} model{'s' * (len(trained) != 1)} pretrained here" if trained else "No model pretrained here"
    details = f": {backbones} on {photos}, {epochs} epochs" if trained else ""
    return f"{models}{details}; {len(plan['models'])} judged."


def _example_names(plan: dict) -> list[str]:
    return [f"{model}-{dataset}" for model in plan["examples"]["models"] for dataset in plan["examples"]["datasets"]]


def _cards(plan: dict, results: Results) -> str:
    """Cards with the best value of each protocol, data set and number of layers, and the reference model's value."""
    values: dict[str, dict[str, float]] = {}
    for cell, tree in results.items():
        own = values.setdefault(_judged(cell), {})
        own[cell.model] = max(tree["value"], own.get(cell.model, tree["value"]))
    cards = []
    for judged, own in values.items():
        best = max(own, key=lambda name: own[name])
        base = own.get(plan["reference"])
        known = base is not None and best != plan["reference"]
        beside = f"{_label(plan, plan['reference'])}: {base:.1f} %" if known else ""
        cards.append(
            f'<div class="card"><span>{escape(judged)}</span>'
            f"<b>{own[best]:.1f} <small>%</small></b><span>best: {as_html(_label(plan, best))}</span>"
            f"<span>{as_html(beside)}</span></div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>' if cards else paragraph("Nothing has been judged yet.")


def _judged(cell: Planned) -> str:
    """Protocol, layers and data set in words; results that differ only in learning rate get the same words."""
    layers = f", last {cell.layers} blocks" if (cell.layers or 1) > 1 else ""
    return f"{NAMES[cell.protocol]}{layers}, {cell.dataset}"


def _tables(plan: dict, trained: dict[str, dict], results: Results, step: StepBenchmark | None) -> str:
    own = [
        replace(table, title=table.title.removesuffix(f". {plan['title']}")) for table in own_tables(plan, trained, results)
    ]
    html = [render_html(table, plan["tolerance"]) for table in own]
    printed = [render_html(table, plan["tolerance"]) for table in paper_tables(plan, trained, results, step)]
    if printed:
        key = (
            f'<p class="note">Δ: ours minus the paper\'s. <span class="yes">Green</span>: within {plan["tolerance"]:g}; '
            "blue: above; red: below. “not run”: no model of this experiment is set up as the paper's was, or none was "
            "judged.</p>"
        )
        numbers = ", ".join(str(number) for number in sorted(set(plan["tables"])))
        html.append(folded(f"The paper's tables, cell by cell: {numbers}", key + "\n".join(printed)))
    return "\n".join(html)


def _charts(figures: list[Figure]) -> str:
    cards = "\n".join(
        f'<figure id="figure-{figure.name}"{" class=wide" if figure.name == "step" else ""}>'
        f"<h3>{as_html(figure.title)}</h3>{figure.svg}<figcaption>{as_html(figure.caption)}</figcaption></figure>"
        for figure in figures
    )
    return f'<div class="charts">\n{cards}\n</div>' if cards else ""


def _parameters(trained: dict[str, dict]) -> str:
    if not trained:
        return ""
    names = {experiment.paper_recipe(settings) for settings in trained.values()}
    parts = []
    for name in sorted(names):
        alike = {model: settings for model, settings in trained.items() if experiment.paper_recipe(settings) == name}
        rows = experiment.beside_the_paper(alike, experiment.paper_settings(name))
        text = f"Of {', '.join(alike)}, beside the paper's nearest model, recipes/{name}.yaml; equal values are left out."
        parts += [paragraph(text), folded(f"{len(rows)} parameters differ", grid(["", "here", "paper's model"], rows))]
    found = experiment.departures(trained)
    parts.append("<h3>Where paper and released code differ, and what is in force</h3>")
    if found:
        parts.append(paragraph("docs/method.md gives the reason of each.", "note"))
        items = "".join(f"<li>{escape(what)} <small>({escape(models)})</small></li>" for models, what in found)
        parts.append(f"<ul>{items}</ul>")
    else:
        parts.append(paragraph("Nothing departs from either."))
    return "\n".join(parts)


def _costs(results: Results, trained: dict[str, dict], pretrained: Path) -> str:
    rows = experiment.costs(results, trained, pretrained)
    if not rows:
        return ""
    minutes = sum(row[1] for row in rows) / 60
    text = f"{len(rows)} stages, {minutes:.1f} minutes if one ran after the other, as each of them last ran."
    return paragraph(text) + grid(["stage", "seconds", "peak memory, MiB", "of the GPU, MiB", "device, precision"], rows)


def _versions(results: Results, trained: dict[str, dict]) -> str:
    rows = experiment.versions(results, trained)
    return folded(f"{len(rows)} entries", grid(["", "version or hash", "of"], rows)) if rows else ""
