"""curves.csv as epochs and values: what was not logged is no point, and another file is one sentence."""

from __future__ import annotations

import pytest

from cribo.report.experiment.curves import bootstrapping, points, read_curve, read_curves
from cribo.report.experiment.results import ReportError

LINES = ["step,epoch,loss,bootstrapping_1,bootstrapping_2", "10,0,5.0,,", "20,1,4.0,0.25,0.5", "40,3,3.0,0.5,"]


def test_epochs_run_from_the_start_and_an_empty_field_is_no_value():
    curve = read_curve(LINES, "x")
    assert curve["at"] == [1.0, 2.0, 4.0] and curve["step"] == [10, 20, 40]
    assert curve["loss"] == [5.0, 4.0, 3.0] and curve["bootstrapping_1"] == [None, 0.25, 0.5]


def test_a_point_is_the_mean_of_its_columns_where_all_have_a_value():
    curve = read_curve(LINES, "x")
    assert points(curve, ["bootstrapping_1", "bootstrapping_2"]) == ([2.0], [0.375])
    assert points(curve, ["bootstrapping_1", "absent"], "step") == ([20, 40], [0.25, 0.5])
    assert points(curve, ["absent"]) == ([], [])


def test_the_bootstrapping_ratio_is_of_models_that_look_for_neighbours(tmp_path):
    for name, lines in (("b", LINES), ("a", [line.rsplit(",", 2)[0] for line in LINES])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "curves.csv").write_text("\n".join(lines))
    curves = read_curves(["b", "untrained", "a"], tmp_path)
    assert list(curves) == ["b", "a"] and bootstrapping(curves) == [(20, "b", 0.375)]


@pytest.mark.parametrize(
    "lines", [[], LINES[:1], ["step,epoch", "0,0"], ["step,loss", "1,2"], ["step,epoch,loss", "1,0,nan"]]
)
def test_another_file_is_one_sentence(lines):
    with pytest.raises(ReportError, match=r"^here is not a file of curves .*: delete it and run its stage again$"):
        read_curve(lines, "here")


def test_a_value_that_is_no_number_is_named_by_its_column():
    with pytest.raises(ReportError, match="loss holds what is not a number"):
        read_curve(["step,epoch,loss", "1,0,inf"], "here")
