"""python -m stages.tables: results/scores/*/*.json and the paper's values → results/tables/.

Rows and columns: results/plan/report.yaml. Writes .md, .csv and .tex for each protocol that has data sets, and README.md.
"""

from __future__ import annotations

from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.report.dense_nn_table import dense_nn_table, read_results
from cribo.report.render_csv import render_csv
from cribo.report.render_latex import render_latex
from cribo.report.render_markdown import render_markdown
from cribo.report.segmentation_table import segmentation_tables
from cribo.report.single_value_tables import KNN, YOLOS, read_values, value_table

RENDERERS = {"md": render_markdown, "csv": render_csv, "tex": render_latex}


def main() -> None:
    settings = plan.read("report")
    tables = []
    if settings["dense_nn"]["datasets"]:
        tables.append(dense_nn_table(settings, read_results(settings, "results/scores/dense_nn")))
    tables += segmentation_tables(settings, "results/scores")
    for kind in (KNN, YOLOS):
        if settings[kind.protocol]["datasets"]:
            tables.append(value_table(kind, settings, read_values(kind, settings, "results/scores")))
    folder = Path("results/tables")
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        for suffix, render in RENDERERS.items():
            (folder / f"{table.name}.{suffix}").write_text(render(table), encoding="utf-8")
    everything = "\n".join(render_markdown(table) for table in tables)
    (folder / "README.md").write_text(f"# Tables\n\n{everything}", encoding="utf-8")
    print(everything, end="")


if __name__ == "__main__":
    run(main, "python -m stages.tables", 0)
