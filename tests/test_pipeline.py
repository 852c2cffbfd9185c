"""dvc.yaml, the code, the README and the docs tell the same story."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from cribo import training
from cribo.training import run

DAG = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]


def spec(stage):
    return DAG[stage].get("do", DAG[stage])


def imported(path, seen=None):
    """All modules of ours that a module imports, however deep."""
    seen = set() if seen is None else seen
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            module = Path(name.replace(".", "/"))
            for file in (module.with_suffix(".py"), module / "__init__.py"):
                if name.startswith("cribo") and file.exists() and file not in seen:
                    seen.add(file)
                    imported(file, seen)
    return seen


# Read by every stage, and never part of what it computes: how settings are found, and how errors are shown.
HARNESS = {
    "cribo/command.py",
    "cribo/fidelity.py",
    "cribo/plan.py",
    "cribo/params",
    "cribo/model/architectures.py",
    "cribo/model/foreign/catalogue.py",
    "cribo/model/foreign/formats.py",
}


def covered(file, deps):
    return any(file == Path(d) or Path(d) in file.parents for d in deps)


@pytest.mark.parametrize("stage", list(DAG))
def test_every_stage_depends_on_every_module_that_it_imports(stage):
    script = next(d for d in spec(stage)["deps"] if d.startswith("stages/"))
    harness = {"cribo/command.py"} if stage == "plan" else HARNESS
    deps = [*spec(stage)["deps"], *harness]
    missing = [str(f) for f in imported(Path(script)) if f.stat().st_size and not covered(f, deps)]
    assert not missing, f"{stage} imports {missing}, which dvc.yaml does not list"


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


def test_files_are_small_and_none_is_called_utils():
    for file in [*Path("cribo").rglob("*.py"), *Path("stages").rglob("*.py"), *Path("workflow").rglob("*.py")]:
        assert len(file.read_text().splitlines()) <= 400, file
        assert file.stem not in {"utils", "helpers", "misc"}


def test_method_knows_tensors_only():
    for file in Path("cribo/method").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cribo"):
                assert node.module.startswith("cribo.method"), f"{file} imports {node.module}"


def test_nothing_imports_from_stages():
    for file in Path("cribo").rglob("*.py"):
        assert not re.search(r"^(from|import) stages", file.read_text(), re.M), file
