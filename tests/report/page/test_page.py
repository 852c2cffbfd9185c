"""results/report.html: the same bytes from the same files, alone on a disk, and alive in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files

import pytest

from cribo.report.experiment.description import per_class
from cribo.report.experiment.results import ReportError, read_results
from cribo.report.page.figures import sweep_figures
from cribo.report.page.markup import page
from cribo.report.page.overview import report
from cribo.report.render.to_html import render_html
from cribo.report.tables.table import Column, Row, Table, Text
from tests.edits import edited
from tests.report.pages import VALUES, experiment, write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def test_the_same_files_give_the_same_bytes(results):
    plan = experiment(results)
    (first, figures), (second, again) = report(plan, results), report(plan, results)
    assert first == second and figures == again
    assert {figure.name for figure in figures} == {"loss", "bootstrapping"}
    assert not re.search(r"\d{4}-\d\d-\d\dT|currentcolor", first)


def test_the_page_needs_nothing_outside_of_itself(results):
    html, _ = report(experiment(results), results)
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', html) + re.findall(r"url\(([^)]*)\)", html)
    assert addresses and all(a.startswith(("#", "data:")) for a in addresses)
    assert "@import" not in html and "n&lt;1&gt;" in html


def test_no_two_elements_of_the_page_have_one_id(results):
    ids = re.findall(r'\sid="([^"]*)"', report(experiment(results), results)[0])
    assert ids and len(ids) == len(set(ids))


def test_a_removed_result_is_a_cell_that_says_so_and_the_other_rows_stay(results):
    plan = experiment(results)
    table = re.compile(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>')
    before = dict(table.findall(report(plan, results)[0].partition('id="training"')[0]))
    (results / "scores/dense_nn/cross_view-scenes.json").unlink()
    after = dict(table.findall(report(plan, results)[0].partition('id="training"')[0]))
    assert {name for name in before if before[name] != after[name]} == {"cross_view"} and "not run" in after["cross_view"]


def test_an_experiment_without_results_is_a_page_too(results):
    plan = experiment(results)
    for folder in ("scores", "pretrain", "examples"):
        shutil.rmtree(results / folder)
    html, figures = report(plan, results)
    assert "Nothing has been judged yet." in html and not figures and 'id="examples"' not in html


def test_the_page_says_what_was_run_at_what_cost_and_where_it_departs(results):
    html, _ = report(experiment(results), results)
    assert "clustering.lambda_pos" in html and "D6 targets.directions" in html and "pretrain@cribo" in html
    assert "61.5" in html and "ab" * 32 in html and "20.5 <small>%" in html


def test_the_papers_tables_are_shown_when_they_are_asked_for(results, tmp_path):
    assert "Table 5." not in report(experiment(results), results)[0]
    html, figures = report(experiment(tmp_path / "other", edited("report.tables", "[4, 5]")), tmp_path / "other")
    assert all((f"<h3>Table {number}." in html) == (number in (4, 5)) for number in range(1, 13))
    assert {"sweep_lambda_pos", "sweep_S", "sweep_K"} <= {figure.name for figure in figures}


def test_a_sweep_is_compared_with_the_paper_where_all_photos_are_in_memory_and_says_so_where_not():
    models = {f"m{K}": {"seed": 0, "clustering": {"K": K}} for K in (4, 8, 16)}
    values = {(model, dataset): 50.0 for dataset in ("voc2012", "voc") for model in models}
    ((whole,), (part,)) = (
        [figure for figure in sweep_figures(models, values, share, with_paper=True) if figure.name == "sweep_K"]
        for share in (1, 8)
    )
    assert "paper" in whole.svg and "the paper's" in whole.caption
    assert "paper" not in part.svg and part.caption.startswith("Dense retrieval with 1/8 of the training photos")
    assert all(f">{dataset}<" in whole.svg for dataset in ("voc2012", "voc"))  # each with its own name


def test_a_sweep_of_several_seeds_says_what_is_shaded():
    models = {f"m{K}_{seed}": {"seed": seed, "clustering": {"K": K}} for K in (4, 8, 16) for seed in (0, 1)}
    values = {(model, "scenes"): 50.0 + models[model]["seed"] for model in models}
    (several,) = sweep_figures(models, values, 1, with_paper=False)
    (one,) = sweep_figures(models, {key: 50.0 for key in values if key[0].endswith("0")}, 1, with_paper=False)
    assert "standard deviation between seeds" in several.caption and "shaded" not in one.caption


def test_tolerance_decides_which_differences_are_coloured_as_agreement(results, tmp_path):
    html, _ = report(experiment(results, edited("report.tables", "[5]", edited("report.tolerance", "2.5"))), results)
    assert "within 2.5" in html


def test_every_class_of_every_result_is_a_point_for_dvc_plots(results):
    rows = per_class(read_results(experiment(results), results))
    assert ("dense_nn cribo-scenes: background", 20.1) in rows and len(rows) == 2 * len(VALUES)  # `absent` has no score


def test_matches_say_of_what_they_are_a_share_and_whether_the_groups_are_the_training_s(results):
    plan = experiment(results)
    said = "25.0 % of the objects that both views of 8 photos show"
    html, _ = report(plan, results)
    assert said in html and "As in training, the clustering&#x27;s costs are scaled over 4 photos." in html
    path = results / "examples/cribo-scenes/examples.json"
    tree = json.loads(path.read_text())
    tree["matches"] |= {"own_groups": False, "learnt": False}
    write(path, tree)
    html, _ = report(plan, results)
    assert "larger than there is room for here" in html and "As in training" not in html and "would be learnt from" in html


def test_a_damaged_example_is_one_sentence(results):
    plan = experiment(results)
    (results / "examples/cribo-scenes/a.png").unlink()
    with pytest.raises(ReportError, match="run dvc repro -f examples@cribo-scenes"):
        report(plan, results)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("pretrain/cribo/cost.json", ""),
        ("pretrain/cribo/cost.json", "{}"),
        ("scores/dense_nn/cribo-scenes.json", {"cost": None}),
        ("scores/dense_nn/cribo-scenes.json", {"versions": []}),
        ("scores/dense_nn/cribo-scenes.json", {"per_class": None}),
    ],
)
def test_a_file_that_holds_scores_but_not_what_the_page_says_of_them_is_one_sentence(results, file, content):
    plan = experiment(results)
    whole = json.loads((results / file).read_text())
    (results / file).write_text(content if isinstance(content, str) else json.dumps(whole | content))
    with pytest.raises(ReportError, match=f"{file} is not a .*: delete it and run its stage again$"):
        report(plan, results)
        per_class(read_results(plan, results))


PROBE = """<script>
document.querySelectorAll("details").forEach((fold) => (fold.open = true));
const first = document.querySelector("table.sortable"), heads = [...first.tHead.rows].at(-1).cells;
const labels = () => [...first.tBodies[0].rows].map((row) => row.cells[0].textContent);
const button = heads[2].querySelector("button"), orders = [labels()];
for (let i = 0; i < 3; i++) { button.click(); orders.push(labels()); }
const broken = [...document.images].filter((image) => !image.naturalWidth).length;
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.body.innerHTML = "<pre id=probe>" + JSON.stringify({ orders, broken, wide, images: document.images.length,
  errors: window.errors }) + "</pre>";
</script></body>"""


IN_A_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser")


def opened(html, folder, *options):
    """The page's elements once its scripts have run, and what the browser said."""
    page = folder / "page.html"
    page.write_text(html)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", *options]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, done.stderr


@IN_A_BROWSER
def test_words_that_are_numbers_sort_as_numbers(tmp_path):
    words = ("300", "8e-05", "1600", "800+30", "0.0008", "800")
    rows = tuple(Row(word, (Text(word),)) for word in words)
    table = render_html(Table("t", "T", (Column("", "n", kind="words"),), rows))
    click = '<script>document.querySelector("th button").click();</script></body>'
    html, _ = opened(page("P", "", [("s", "S", table)], "").replace("</body>", click), tmp_path)
    assert re.findall('<th scope="row">([^<]*)', html) == ["1600", "800+30", "800", "300", "0.0008", "8e-05"]


def test_every_text_of_the_page_is_readable_on_its_ground():
    css = files("cribo.report.page").joinpath("page.css").read_text()
    light, dark = (dict(re.findall(r"--([a-z-]+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", css, re.S))

    def luminance(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    grounds = {name: (f"{name}-bg", "card") for name in ("near", "above", "below")}
    for theme in (light, dark):
        for name in ("ink", "soft", "faint", "accent", "near", "above", "below"):
            for ground in grounds.get(name, ("paper", "card")):
                low, high = sorted(luminance(theme[key]) for key in (name, ground))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)  # WCAG 2, AA


@IN_A_BROWSER
@pytest.mark.parametrize("width", [1200, 500])
def test_in_a_browser_tables_sort_images_load_and_nothing_is_wrong(results, tmp_path, width):
    html, _ = report(experiment(results), results)
    catch = '<script>window.errors = []; addEventListener("error", (e) => errors.push(e.message), true);</script>'
    html = html.replace("<style>", catch + "<style>", 1).replace("</body>", PROBE)
    dom, said = opened(html, tmp_path, f"--window-size={width},900")
    found = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', dom)[1])
    assert found["errors"] == [] and found["broken"] == 0 and found["wide"] <= 0
    assert "CONSOLE" not in said
    largest = sorted(VALUES, key=VALUES.get, reverse=True)
    assert found["orders"] == [list(VALUES), largest, largest[::-1], list(VALUES)]
