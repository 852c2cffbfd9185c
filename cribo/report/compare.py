"""python -m cribo.report.compare REV [OUT]: compare this working tree's experiment with a git revision, on one page.

Reads only files that git keeps: curves, params.yaml and the scores that it asks for, from REV (a branch, tag or commit) and
from the working tree. Writes OUT (results/compare.html). Experiments of `dvc exp` are git revisions too; `dvc exp show`
names them.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from html import escape
from pathlib import Path

from cribo import params, plan
from cribo.command import check_out, run
from cribo.params.types import flat
from cribo.params.yaml_lines import parse_yaml
from cribo.report.experiment.curves import BOOTSTRAPPING, Curve, points, read_curve
from cribo.report.experiment.planned import planned
from cribo.report.experiment.results import ReportError
from cribo.report.page.charts import Line, lines
from cribo.report.page.markup import grid, page, paragraph
from cribo.report.render.to_html import render_html
from cribo.report.tables.table import NOT_RUN, Column, Number, Row, Table, difference

CURVES = {"loss": ["loss"], "bootstrapping ratio": BOOTSTRAPPING}


class Here:
    """The working tree."""

    advice = "delete it and run its stage again"

    def __init__(self, root: Path):
        self.root = root

    def place(self, name: str) -> str:
        return name

    def files(self, folder: str) -> Iterator[tuple[str, str]]:
        place = self.root / folder
        for path in [place] if place.is_file() else sorted(place.rglob("*.*")):
            if path.suffix in (".json", ".csv", ".yaml"):
                name = path.relative_to(self.root).as_posix()
                yield name, _text(path.read_bytes(), self.place(name))


class There:
    """The tree of a git revision. Raises ReportError where there is not a repository, no git or no such revision."""

    advice = "compare with a revision where it is whole"

    def __init__(self, root: Path, rev: str):
        self.root, self.rev = root, rev
        if not any((folder / ".git").exists() for folder in (root, *root.resolve().parents)):
            raise ReportError(f"{root} is in no git repository: run this in the repository that holds {rev}")
        self._git("rev-parse", "--verify", "--end-of-options", f"{rev}^{{commit}}")

    def place(self, name: str) -> str:
        return f"{self.rev}:{name}"

    def files(self, folder: str) -> Iterator[tuple[str, str]]:
        listed = self._git("ls-tree", "-r", "-z", self.rev, "--", folder).decode().split("\0")
        found = {name: about.split()[2] for about, _, name in (entry.partition("\t") for entry in listed) if about}
        names = [name for name in found if name.endswith((".json", ".csv", ".yaml"))]
        contents = io.BytesIO(self._git("cat-file", "--batch", given="\n".join(found[name] for name in names)))
        for name in names:  # for each name: a line that ends with the size, the content, a line feed
            size = int(contents.readline().split()[-1])
            yield name, _text(contents.read(size + 1)[:-1], self.place(name))

    def _git(self, *arguments: str, given: str = "") -> bytes:
        if shutil.which("git") is None:
            raise ReportError(f"git is not installed, and {self.rev} is read by it: install git, or load its module")
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, input=given.encode())
        if done.returncode:
            raise ReportError(f"git knows no revision {self.rev} here: give a branch, a tag or a commit of `git log --all`")
        return done.stdout


def _text(content: bytes, place: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ReportError(f"{place}:{line}: is not UTF-8: save it as UTF-8") from None


def compare(before: Here | There, after: Here | There, rev: str) -> str:
    """The page: scores, curves and parameters of `after` beside those of `before`.

    Raises ReportError where `before` has neither scores nor curves.
    """
    scores, logs = _results(before), dict(_logs(before))
    if not (scores or logs):
        raise ReportError(f"{rev} holds no results: commit dvc.lock and results/ there first")
    sections = [
        ("scores", "Scores", _scores(scores, _results(after), rev)),
        ("curves", "Curves", _curves(logs, dict(_logs(after)), rev)),
        ("parameters", "Parameters", _parameters(_params(before), _params(after), rev)),
    ]
    lead = f'<p class="lead">This working tree beside <code>{escape(rev)}</code>. Δ: here minus there.</p>'
    return page(f"Compared with {rev}", lead, sections, "Made by <code>python -m cribo.report.compare</code>.")


def _results(tree: Here | There) -> dict[str, dict]:
    """Results by name: those that the tree's params.yaml asks for, or all where this version cannot read that file."""
    found, asked = {}, _asked(tree)
    for name, text in tree.files("results/scores"):
        if asked is not None and name not in asked:
            continue
        try:
            scored = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{tree.place(name)} cannot be read as JSON ({error}): {tree.advice}") from None
        if not isinstance(scored, dict) or not _is_number(scored.get("value")):
            raise ReportError(f"{tree.place(name)} is not a result, as it has no number called `value`: {tree.advice}")
        found[name.removeprefix("results/scores/").removesuffix(".json")] = scored
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _asked(tree: Here | There) -> set[str] | None:
    text = dict(tree.files("params.yaml")).get("params.yaml", "")
    try:
        report = plan.report_settings(params.parse(text, Path("params.yaml")))
    except params.ParamsError:
        return None
    return {cell.path(Path("results")).as_posix() for cell in planned(report)}


def _scores(before: dict[str, dict], after: dict[str, dict], rev: str) -> str:
    columns = (Column("", rev, 2), Column("", "here", 2), Column("", "Δ", 2, kind="difference"))
    rows = []
    for name in sorted(before.keys() | after.keys()):
        pair = [Number(tree[name]["value"]) if name in tree else NOT_RUN for tree in (before, after)]
        rows.append(Row(name, (*pair, difference(pair[1], pair[0]))))
    if not rows:
        return paragraph("Neither has results.")
    return render_html(Table("scores", "Every result's value (%)", columns, tuple(rows)), 0.0)


def _logs(tree: Here | There) -> Iterator[tuple[str, Curve]]:
    for name, text in tree.files("results/pretrain"):
        if name.endswith("curves.csv"):
            yield name.split("/")[2], read_curve(text.splitlines(), tree.place(name))


def _curves(before: dict[str, Curve], after: dict[str, Curve], rev: str) -> str:
    charts = []
    models = [model for model in dict.fromkeys((*after, *before)) if before.get(model) != after.get(model)]
    for model in models:
        for title, columns in CURVES.items():
            drawn = {}
            for label, curves, old in ((rev, before, True), ("here", after, False)):
                x, y = points(curves[model], columns) if model in curves else ([], [])
                if x:
                    drawn[label] = Line(x, y, paper=old)
            if drawn:
                svg = lines(f"compare-{model}-{title}", title, "epoch", drawn)
                charts.append(f"<figure><h3>{escape(model)}: {title}</h3>{svg}</figure>")
    html = f'<div class="charts">{"".join(charts)}</div>' if charts else ""
    same = len(before.keys() | after.keys()) - len(models)
    return html + (paragraph(f"{same} model{'s' * (same != 1)} with the same curves on both sides.", "note") if same else "")


def _params(tree: Here | There) -> dict[str, object]:
    """Values of params.yaml by dotted key. Raises ParamsError where the file is not YAML or not a mapping."""
    text = dict(tree.files("params.yaml")).get("params.yaml")
    return {} if text is None else flat(parse_yaml(text, Path(tree.place("params.yaml")))[0])


def _parameters(before: dict[str, object], after: dict[str, object], rev: str) -> str:
    def shown(tree: dict[str, object], key: str) -> str:
        return json.dumps(tree[key], ensure_ascii=False, default=str) if key in tree else ""

    rows = [
        (key, shown(before, key), shown(after, key))
        for key in dict.fromkeys((*after, *before))
        if before.get(key) != after.get(key) or (key in before) != (key in after)
    ]
    return grid(["", rev, "here"], rows) if rows else paragraph("params.yaml is the same.")


def _make_way(out: Path) -> None:
    """Make the folder of `out`. Raises ValueError where no file can be written there."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(f"OUT {out}: no folder {out.parent} can be made ({error.strerror}): correct the path") from None
    check_out(out, "OUT")


def main(rev: str, out: str = "results/compare.html") -> None:
    root, path = Path.cwd(), Path(out)
    if not (root / "results").is_dir():
        raise ReportError("there is no results/ here: run it from the folder that holds dvc.yaml")
    there = There(root, rev)
    _make_way(path)
    html = compare(there, Here(root), rev)
    path.write_text(html, encoding="utf-8")
    print(f"the comparison: {path.resolve()}")


if __name__ == "__main__":
    run(main, "python -m cribo.report.compare REV [OUT]", 1, 2)
