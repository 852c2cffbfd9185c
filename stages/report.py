"""python -m stages.report: everything under results/ → results/report.html and results/figures/.

The page is self-contained: it opens from disk, without a network. Also writes results/plots/*.csv for `dvc plots`.
"""

from __future__ import annotations

import csv
from pathlib import Path

from cribo import plan
from cribo.command import emptied, run
from cribo.report.experiment.curves import bootstrapping, read_curves
from cribo.report.experiment.description import per_class
from cribo.report.experiment.results import read_results
from cribo.report.page.overview import report
from cribo.report.tables.every import trained_settings


def write_csv(path: Path, names: tuple[str, ...], rows: list[tuple]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])


def main() -> None:
    settings, results = plan.read("report"), Path("results")
    html, figures = report(settings, results)
    folder = emptied(results / "figures")
    for figure in figures:
        (folder / f"{figure.name}.svg").write_text(figure.svg.replace("currentColor", "#20242c"), encoding="utf-8")
    (results / "report.html").write_text(html, encoding="utf-8")
    curves = read_curves(list(trained_settings(settings, results / "plan/pretrain")), results / "pretrain")
    (results / "plots").mkdir(exist_ok=True)
    write_csv(results / "plots/bootstrapping.csv", ("step", "model", "ratio"), bootstrapping(curves))
    write_csv(results / "plots/per_class.csv", ("what", "IoU"), per_class(read_results(settings, results)))
    print(f"the report: {(results / 'report.html').resolve()}")


if __name__ == "__main__":
    run(main, "python -m stages.report", 0)
