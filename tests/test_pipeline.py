"""dvc.yaml, the code, the README and the docs tell the same story."""

import ast
import graphlib
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from cribo import training
from cribo.params.evaluate import PROTOCOLS
from cribo.training import run

DAG = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]


def spec(stage):
    return DAG[stage].get("do", DAG[stage])


def file_of(name):
    """The file of a module of ours, None of any other name."""
    module = Path(name.replace(".", "/"))
    files = (module.with_suffix(".py"), module / "__init__.py") if name.startswith("cribo") else ()
    return next((file for file in files if file.exists()), None)


@cache
def imports(path):
    """Files of ours that a file imports, at once or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {file_of(f"{node.module}.{alias.name}") or file_of(node.module) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names}
    return found - {None}


def imported(path, seen=None):
    """All files of ours that a file imports, however deep: packages too, which Python runs before what lies in them."""
    seen = set() if seen is None else seen
    packages = {folder / "__init__.py" for file in imports(path) for folder in file.parents[:-1]}
    for file in (imports(path) | {file for file in packages if file.exists()}) - seen:
        seen.add(file)
        imported(file, seen)
    return seen


# Read by every stage, and never part of what it computes: how settings and photos are found, and how errors are shown.
# The plan is made of it, and so is what the report says of the paper's models and of departures from them.
HARNESS = {
    "cribo/command.py",
    "cribo/evaluation/__init__.py",  # how threads wait
    "cribo/fidelity.py",
    "cribo/plan.py",
    "cribo/params",
    "cribo/model/architectures.py",
    "cribo/model/foreign/catalogue.py",
    "cribo/model/foreign/formats.py",
}


# Drawn or written in minutes at most, from nearly all of a folder: only a folder of which they import nothing is too much.
DRAWN = {"tables", "examples", "report"}


def has_code(file):
    """A docstring alone, as in most `__init__.py`, is nothing that a stage could depend on."""
    body = ast.parse(file.read_text()).body
    return len(body) > 1 or (len(body) == 1 and not isinstance(body[0], ast.Expr))


def covered(file, deps):
    return any(file == Path(d) or Path(d) in file.parents for d in deps)


@pytest.mark.parametrize("stage", list(DAG))
def test_every_stage_depends_on_every_module_that_it_imports_and_on_no_other(stage):
    script = next(d for d in spec(stage)["deps"] if d.startswith("stages/"))
    harness = {"cribo/command.py"} if stage in ("plan", "report") else HARNESS
    deps = [*spec(stage)["deps"], *harness]
    used = imported(Path(script))
    missing = [str(f) for f in used if has_code(f) and not covered(f, deps)]
    assert not missing, f"{stage} imports {missing}, which dvc.yaml does not list"
    enough = any if stage in DRAWN else all
    code = [Path(d) for d in spec(stage)["deps"] if d.startswith("cribo/") and d not in harness]
    needless = [str(d) for d in code if not enough(f in used for f in (d, *d.rglob("*.py")) if f.is_file() and has_code(f))]
    assert not needless, f"{stage} does not import {enough.__name__} of {needless}, on which it depends by dvc.yaml"


# What one more backbone, or one more kind of data set, adds a line to.
LISTS = (
    "cribo/model/architectures.py",
    "cribo/data/preparation/sets",
    "cribo/params",
)


def test_one_more_line_of_a_list_makes_no_training_and_no_evaluation_stale():
    def touched(dep):
        return covered(Path(dep), LISTS) or any(covered(Path(file), [dep]) for file in LISTS)

    readers = {stage for stage in DAG if any(touched(dep) for dep in spec(stage)["deps"])}
    assert readers == {"plan", "prepare", "report"}


def test_no_stage_depends_on_a_file_that_is_not_there():
    for stage in DAG:
        for dep in spec(stage)["deps"]:
            assert dep.startswith(("results", "data")) or Path(dep).exists(), f"{stage}: {dep}"


def test_the_fingerprint_of_a_training_covers_the_sources_that_dvc_watches():
    deps = {d for d in spec("pretrain")["deps"] if d.startswith("cribo/")}
    assert deps == {f"cribo/{source}" for source in run.SOURCES}
    assert Path(training.__file__).parent.name in run.SOURCES


def test_stages_stand_in_the_order_of_the_pipeline_in_dvc_yaml_and_in_the_readme():
    text = Path("README.md").read_text().partition("## The way from photo to table")[2]
    table = [
        x
        for line in text.splitlines()
        if line.startswith("| `")
        for x in re.findall(r"`(\w+)(?:@\w+)?(?:-\w+)?`", line.split("|")[1])
    ]
    assert table[: len(DAG)] == list(DAG)


def test_output_md_names_every_output():
    text = Path("docs/output.md").read_text()
    for stage in DAG:
        for kind in ("outs", "metrics", "plots"):
            for out in spec(stage).get(kind, []):
                path = out if isinstance(out, str) else next(iter(out))
                folder = re.sub(r"\$\{.*", "", path).rstrip("/")
                assert folder in text, f"{stage}: {path}"


def test_git_leaves_to_dvc_what_dvc_keeps_and_only_that_on_every_branch(tmp_path):
    kept, others = [], []
    for stage in DAG:
        for out in (out for kind in ("outs", "metrics", "plots") for out in spec(stage).get(kind, [])):
            path, flags = (out, {}) if isinstance(out, str) else next(iter(out.items()))
            (kept if flags.get("cache", True) else others).append(re.sub(r"\$\{[^}]*\}", "x", path))
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(".gitignore", tmp_path)
    listed = subprocess.run(["git", "check-ignore", *kept, *others], cwd=tmp_path, capture_output=True, text=True).stdout
    assert listed.split() == kept


def test_every_protocol_is_a_stage_that_asks_for_a_machine_and_has_a_card():
    assert [stage for stage in DAG if stage in PROTOCOLS] == list(PROTOCOLS)
    assert list(yaml.safe_load(Path("workflow/resources.yaml").read_text())) == list(DAG)
    cards = Path("docs/protocols.md").read_text()
    assert [protocol for protocol in PROTOCOLS if f"results/scores/{protocol}/" not in cards] == []


def test_files_are_small_and_none_is_called_utils():
    for file in [*Path("cribo").rglob("*.py"), *Path("stages").rglob("*.py"), *Path("workflow").rglob("*.py")]:
        assert len(file.read_text().splitlines()) <= 400, file
        assert file.stem not in {"utils", "helpers", "misc"}


PACKAGES = [*Path("cribo").rglob("__init__.py"), Path("workflow/bridge/__init__.py")]
MAPPED = [file for file in PACKAGES if re.search(r"\w\.py\b", ast.get_docstring(ast.parse(file.read_text())) or "")]


@pytest.mark.parametrize("package", MAPPED, ids=lambda file: file.parent.name)
def test_the_map_in_a_package_names_each_of_its_files_once(package):
    text = ast.get_docstring(ast.parse(package.read_text()))
    named = sorted(re.findall(r"(?<![/\w])(\w+)\.py\b", text))
    assert named == sorted(file.stem for file in package.parent.glob("*.py") if not file.stem.startswith("__"))


def test_method_knows_tensors_only():
    for file in Path("cribo/method").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cribo"):
                assert node.module.startswith("cribo.method"), f"{file} imports {node.module}"


ORDER = ["params", "data", "method", "model", "training", "evaluation", "examples", "report"]
COMMANDS = {
    "doctor",
    "evaluate",
    "inspect",
    "launch",
    "measure",
    "pace",
    "replay",
}  # beside the folders, and above all of them
TABLES = {"model.architectures", "model.foreign.catalogue", "model.foreign.formats"}  # free of torch, for params.yaml


@pytest.mark.parametrize("folder", ORDER)
def test_a_folder_imports_from_those_above_it_alone(folder):
    allowed = {*ORDER[: ORDER.index(folder) + 1]}
    for file in Path("cribo", folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cribo") and node.module != "cribo":
                name = node.module.removeprefix("cribo.")
                there = name.partition(".")[0]
                assert there in allowed or there not in {*ORDER, *COMMANDS} or name in TABLES, f"{file} imports {name}"


WITHIN = {
    "data": ["prepared", "preparation", "batches"],
    "model": ["networks", "foreign"],
    "training": ["engine"],
    "evaluation": ["harness", "features", "neighbours", "dense_nn", "hummingbird", "segmentation", "detection"],
    "report": ["paper", "experiment", "tables", "render", "page"],
}


@pytest.mark.parametrize("folder", WITHIN)
def test_so_does_a_folder_within_it(folder):
    order = WITHIN[folder]
    assert {*order} == {file.parent.name for file in Path("cribo", folder).glob("*/__init__.py")}
    for i, inner in enumerate(order):
        text = "".join(file.read_text() for file in Path("cribo", folder, inner).rglob("*.py"))
        assert not [below for below in order[i + 1 :] if re.search(rf"^\s*from cribo\.{folder}\.{below}[. ]", text, re.M)], (
            inner
        )
        assert inner != "engine" or not re.search(r"^from cribo\.training(?!\.engine)", text, re.M)


def test_folders_of_tests_are_those_of_the_code():
    folders = [file.parent.relative_to("tests") for file in Path("tests").rglob("test_*.py")]
    ours = {"stages", "workflow", "slurm"}
    assert [f for f in folders if f.parts and f.parts[0] not in ours and not Path("cribo", f).is_dir()] == []


def test_no_files_import_each_other_in_a_circle():
    graphlib.TopologicalSorter({file: imports(file) for file in Path("cribo").rglob("*.py")}).prepare()


def test_nothing_imports_from_stages():
    for file in Path("cribo").rglob("*.py"):
        assert not re.search(r"^(from|import) stages", file.read_text(), re.M), file


def test_experiments_are_shown_with_their_scores_and_parameters_and_nothing_else():
    (dropped,) = re.findall(r"dvc exp show .*--drop '(.*)'", Path("docs/usage.md").read_text())
    for column in ("Experiment", "results/scores/dense_nn/cribo-scenes.json:value", "pretrain.seed", "data.scenes.train"):
        assert not re.match(dropped, column)
    for column in ("Created", "loss", "results/scores/knn/cribo-scenes.json:cost.seconds", "results/plan", "data/scenes"):
        assert re.match(dropped, column)
