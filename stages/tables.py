"""python -m stages.tables: the plan's results/scores/*/*.json and the paper's values → results/tables/.

Rows and columns: results/plan/report.yaml. Number of photos each model learnt from: results/pretrain/*/metrics.json. Writes
each table as .md, .csv, .tex and .html, README.md with all tables, and scores.csv with one line per score.
"""

from __future__ import annotations

from pathlib import Path

from cribo import plan
from cribo.command import emptied, run
from cribo.report.experiment.photos import with_photos
from cribo.report.experiment.results import read_results
from cribo.report.experiment.step_benchmark import read_step
from cribo.report.render.to_csv import render_csv
from cribo.report.render.to_html import render_html
from cribo.report.render.to_latex import render_latex
from cribo.report.render.to_markdown import render_markdown
from cribo.report.tables.every import own_tables, paper_tables, trained_settings
from cribo.report.tables.score_list import score_list

RENDERERS = {"md": render_markdown, "csv": render_csv, "tex": render_latex}


def main() -> None:
    settings, results = plan.read("report"), Path("results")
    trained = trained_settings(settings, results / "plan/pretrain")
    settings = with_photos(settings, trained, results / "pretrain")
    found, step = read_results(settings, results), read_step(results / "benchmarks/step.json")
    tables = [*own_tables(settings, trained, found), *paper_tables(settings, trained, found, step)]
    folder = emptied(results / "tables")
    for table in tables:
        for suffix, render in RENDERERS.items():
            (folder / f"{table.name}.{suffix}").write_text(render(table), encoding="utf-8")
        (folder / f"{table.name}.html").write_text(render_html(table, settings["tolerance"]) + "\n", encoding="utf-8")
    (folder / "scores.csv").write_text(score_list(found), encoding="utf-8")
    everything = "\n".join(render_markdown(table) for table in tables)
    (folder / "README.md").write_text(f"# Tables\n\n{everything}", encoding="utf-8")
    print(everything, end="")


if __name__ == "__main__":
    run(main, "python -m stages.tables", 0)
