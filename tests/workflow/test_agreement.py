"""DVC and Snakemake never disagree about what is stale, whichever of them did the last thing."""

import shutil
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from tests.edits import DEMO, edited, renamed
from workflow.bridge import fingerprint, record, stages
from workflow.bridge.cutoff import LocalRules, spare
from workflow.bridge.errors import BridgeError

DEPENDANTS = {  # of toy/pipeline.yaml, written by hand
    "plan": {"prepare", "pretrain@large", "pretrain@small", "judge@large-knn", "judge@large-voc", "tables"},
    "prepare": {"pretrain@large", "pretrain@small", "judge@large-knn", "judge@large-voc", "tables"},
    "pretrain@large": {"judge@large-knn", "judge@large-voc", "tables"},
    "pretrain@small": {"tables"},
    "judge@large-knn": {"tables"},
    "judge@large-voc": {"tables"},
    "tables": set(),
}


def test_each_tool_finds_nothing_to_do_after_the_other(tree):
    assert tree.planned() == set()  # after `dvc repro`, without any state of Snakemake's
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    tree.edit("params.yaml", "k: 5", "k: 6")
    said = tree.snakemake("judge@large-voc")
    assert "dvc: judge@large-voc: changed: results/plan/judge/voc.yaml" in said
    assert tree.ran() == ["judge@large-voc"]  # the target and no more
    assert tree.stale() == {"judge@large-knn", "tables"}
    tree.snakemake("judge", "tables")  # a group of stages by its name, as in DVC
    assert tree.ran() == ["judge@large-knn", "tables"]
    assert tree.stale() == set() == tree.planned()


def test_a_reverted_edit_comes_back_from_the_run_cache_in_both_tools(tree):
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    tree.snakemake()
    assert tree.ran() == ["judge@large-voc", "tables"]
    tree.edit("params.yaml", "iters: 11", "iters: 10")
    said = tree.snakemake("all")
    assert "dvc: tables: restored from DVC's run cache" in said
    assert tree.ran() == [] and tree.stale() == set()
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    tree.do("dvc", "repro")
    assert tree.ran() == [] and tree.planned() == set()


def test_a_dry_run_plans_what_dvc_status_says_and_all_that_follows(tree):
    tables = tree.root / "results/tables/main.md"
    stamps = tree.root / ".snakemake"
    edits = [
        (lambda: tree.edit("params.yaml", "  large:", "  # a new model\n  tiny: {lr: 0.9}\n  large:"), {"pretrain@tiny"}),
        (lambda: tree.edit("params.yaml", "lr: 0.2", "lr: 0.3"), {"pretrain@tiny", "pretrain@small", "tables"}),
        (lambda: (tables.write_text("edited"), shutil.rmtree(stamps)), {"pretrain@tiny", "pretrain@small", "tables"}),
        (lambda: tree.edit("params.yaml", "size: 1", "size: 2"), {"pretrain@tiny", *DEPENDANTS} - {"plan"}),
    ]
    for edit, expected in edits:
        edit()
        planned, stale = tree.planned(), tree.stale()
        assert planned == stale.union(*(DEPENDANTS.get(s, set()) for s in stale)) == expected
    assert tree.ran() == []


def test_outputs_deleted_and_checked_out_again_are_not_computed(tree):
    for path in ("results/tables/main.md", "data/photos/all"):
        (tree.root / path).unlink()
    tree.do("dvc", "checkout")
    (tree.root / "results/tables/main.md").unlink()
    said = tree.snakemake()
    assert "dvc: tables: restored from DVC's run cache" in said and "dvc: prepare" not in said
    assert tree.ran() == [] and tree.stale() == set()


def test_a_stage_with_the_same_output_spares_its_dependants(tree):
    tree.edit("code/prepare.py", "# a comment", "# another")
    said = tree.snakemake()
    assert tree.ran() == ["prepare"]
    for dependant in DEPENDANTS["prepare"]:
        assert f"dvc: {dependant}: its inputs came out the same, nothing to compute" in said
    assert tree.stale() == set()


def test_what_snakemake_is_told_to_force_is_computed_and_nothing_else_whose_inputs_come_out_the_same(tree):
    tree.snakemake("-R", "prepare", "judge")
    assert tree.ran() == ["judge@large-knn", "judge@large-voc", "prepare"]
    assert tree.stale() == set() == tree.planned()


def test_a_look_at_what_would_be_forced_loses_no_result_that_waits_to_be_recorded(tree):
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    tree.snakemake("plan")
    tree.do(sys.executable, "-m", "workflow.bridge", "run", "judge@large-voc")
    for words in (("-R", "prepare"), ("-F",)):
        assert "run_judge@large-knn" in tree.snakemake("-n", *words)
    tree.snakemake()
    assert tree.ran() == ["judge@large-voc", "tables"]


def test_stages_loaded_alone_are_those_of_the_whole_graph(tree, monkeypatch):
    monkeypatch.chdir(tree.root)
    tree.edit("params.yaml", "iters: 10", "iters: 11")
    tree.do("dvc", "repro", "plan")
    whole = stages.load(stages.open_repo())
    some = stages.load_some(stages.open_repo(), [*whole, "judge", "pretrain@gone"])
    assert some.keys() == whole.keys() == DEPENDANTS.keys()
    for name, stage in some.items():
        assert fingerprint.inputs(stage) == fingerprint.inputs(whole[name])
        assert stage.status() == whole[name].status() and bool(stage.status()) == (name == "judge@large-voc")
    assert stages.load_one_without_lock("tables").outs == ["results/tables/main.md"]
    assert stages.load_one_without_lock("pretrain@gone") is None


def test_a_record_makes_no_graph_of_all_stages(tree, monkeypatch, capsys):
    tree.edit("code/prepare.py", "# a comment", "# another")
    tree.snakemake("plan")
    tree.do(sys.executable, "-m", "workflow.bridge", "run", "prepare")
    monkeypatch.chdir(tree.root)
    monkeypatch.setattr(stages, "_load", None)
    record.record("prepare")
    assert "tables: its inputs came out the same" in capsys.readouterr().err and tree.stale() == set()


def test_the_work_of_a_spared_stage_is_not_submitted(tmp_path, monkeypatch):
    """Snakemake submits what is not in this set; Slurm itself is not asked here."""
    monkeypatch.chdir(tmp_path)
    local = LocalRules({"tables"})
    assert "run_tables" not in local
    spare("tables", "its inputs came out the same")
    assert "run_tables" in local and "run_prepare" not in local and "tables" in local


def test_a_frozen_stage_and_what_follows_are_left_alone(tree):
    tree.do("dvc", "freeze", "prepare")
    tree.edit("params.yaml", "size: 1", "size: 2")
    assert tree.planned() == set()


def test_a_mistyped_parameter_stops_before_any_job_with_its_own_message(tree):
    tree.edit("params.yaml", "judge:", "jugde:")
    said = tree.snakemake(code=1)
    assert "params.yaml: jugde is unknown" in said
    assert "stage plan failed" in said and "Traceback" not in said and "Building DAG" not in said
    assert tree.ran() == []


def test_a_tree_without_git_is_one_sentence_that_says_how_to_go_on(tree):
    shutil.rmtree(tree.root / ".git")
    said = tree.snakemake("-n", code=1)
    assert "is not a git repository: give `git init`, or `dvc config" in said and "Traceback" not in said
    tree.do("dvc", "config", "--local", "core.no_scm", "true")
    assert tree.planned() == set()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (renamed("evaluate.knn.models", "model"), "evaluate.knn.model: is not a parameter .*did you mean models?"),
        (edited("evaluate.models", "cribo"), r"evaluate.models: should be a list as \[a, b\], not 'cribo'"),
        (edited("models.trained.cribo", "[global]"), r"models.trained.cribo: should be a group of keys, not \['global'\]"),
        (DEMO.replace("    flip: 0.5", "    flip: 0.6\n    flip: 0.5", 1), "pretrain.views.flip: is given twice: keep one"),
    ],
    ids=["key", "list", "group", "twice"],
)
def test_a_mistake_that_keeps_dvc_from_naming_its_stages_is_said_with_its_line_in_params_yaml(
    text, says, tmp_path, monkeypatch
):
    shutil.copy(Path("dvc.yaml").absolute(), tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text)
    Repo.init(no_scm=True)
    with pytest.raises(BridgeError, match=rf"(^|\n)params.yaml:\d+: {says}"), stages.one_sentence():
        stages.load(stages.open_repo())
