"""Results read back: every field that a table reads must be a number, and each file is of its cell."""

from __future__ import annotations

import pytest

from cribo.report.experiment.planned import Planned
from cribo.report.experiment.results import ReportError, of_protocol, read_results
from tests.report.pages import score, write

PLAN = {name: {"models": ["a"], "datasets": ["scenes"]} for name in ("dense_nn", "hummingbird", "yolos", "knn")}
SHARE = {"mean": 2.0, "std": None, "runs": [2.0]}
MORE = {
    "dense_nn": {"patch": {"1/1": SHARE}, "pixel": {"1/1": SHARE}},
    "hummingbird": {"mIoU": 1.0, "mIoU_unmatched": 0.5},
    "yolos": {"AP": 1.0, "AP50": 2.0, "AP75": 3},
    "knn": {},
}
FIELDS = [(protocol, field) for protocol, more in MORE.items() for field in ("value", *more)]


@pytest.fixture
def results(tmp_path):
    for protocol, more in MORE.items():
        write(Planned(protocol, "a", "scenes").path(tmp_path), score("a", 4.0, **more))
    return tmp_path


def test_whole_results_are_read_in_the_order_of_the_plan_and_one_that_has_not_run_is_absent(results):
    found = read_results(PLAN | {"knn": {"models": ["a", "b"], "datasets": ["scenes"]}}, results)
    assert [cell.protocol for cell in found] == ["dense_nn", "hummingbird", "knn", "yolos"]
    assert of_protocol(found, "yolos") == {Planned("yolos", "a", "scenes"): score("a", 4.0, **MORE["yolos"])}


@pytest.mark.parametrize(("protocol", "field"), FIELDS)
@pytest.mark.parametrize("wrong", [None, "x", "absent"])
def test_a_field_that_a_table_reads_must_be_there_and_a_number(results, protocol, field, wrong):
    tree = score("a", 4.0, **MORE[protocol]) | {field: wrong}
    if wrong == "absent":
        del tree[field]
    write(Planned(protocol, "a", "scenes").path(results), tree)
    with pytest.raises(ReportError, match=rf"{protocol}/a-scenes\.json is not a result of {protocol} .*: delete it and run"):
        read_results(PLAN, results)


@pytest.mark.parametrize("level", ["patch", "pixel"])
@pytest.mark.parametrize(
    ("share", "wrong"),
    [("8", {}), ("1/8", {"std": "x"}), ("1/8", {"runs": []}), ("1/8", {"mean": None}), ("1/8", {"runs": 5})],
)
def test_every_share_of_dense_retrieval_has_a_mean_a_deviation_and_its_runs(results, level, share, wrong):
    tree = score("a", 4.0, **MORE["dense_nn"])
    write(Planned("dense_nn", "a", "scenes").path(results), tree | {level: {"1/1": SHARE, share: SHARE | wrong}})
    with pytest.raises(ReportError, match="is not a result of dense_nn"):
        read_results(PLAN, results)
