"""python -m stages.report: everything under results/ → results/report.html and results/figures/.

The page stands alone: it opens from disk, without a network. Also writes results/plots/per_class.csv for `dvc plots`.
"""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.report.experiment import per_class
from cribo.report.overview import report


def main() -> None:
    settings, results = plan.read("report"), Path("results")
    html, figures = report(settings, results)
    folder = results / "figures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for figure in figures:
        (folder / f"{figure.name}.svg").write_text(figure.svg.replace("currentColor", "#20242c"), encoding="utf-8")
    (results / "report.html").write_text(html, encoding="utf-8")
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("what", "IoU"), *per_class(settings, results)])
    (results / "plots").mkdir(exist_ok=True)
    (results / "plots/per_class.csv").write_text(table.getvalue(), encoding="utf-8")
    print(f"the report: {(results / 'report.html').resolve()}")


if __name__ == "__main__":
    run(main, "python -m stages.report", 0)
