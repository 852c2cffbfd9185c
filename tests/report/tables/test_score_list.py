"""Every score of the experiment on a line, from which model cards are made."""

import pytest

from cribo.report.experiment.planned import Planned
from cribo.report.experiment.results import ReportError
from cribo.report.tables.score_list import score_list


def test_scores_are_listed_at_full_precision_and_say_what_the_data_lacks():
    results = {
        Planned("linear_segmentation", "a", "scenes", 4, 1e-3): {
            "value": 6.5, "layers": 4, "learning_rate": 1e-3, "protocol": {}, "data_warnings": ["train has 9 images"],
        },
        Planned("knn", "a", "scenes"): {"value": 12.3456789, "protocol": {"value": "top-1"}},
    }  # fmt: skip
    assert score_list(results).splitlines() == [
        "model,protocol,dataset,value,what",
        "a,linear_segmentation,scenes,6.5,mIoU with 4 layers at learning rate 0.001; train has 9 images",
        "a,knn,scenes,12.3456789,top-1",
    ]


def test_a_result_without_its_card_is_named():
    with pytest.raises(ReportError, match=r"^results/scores/knn/a-scenes\.json is not a result"):
        score_list({Planned("knn", "a", "scenes"): {"value": 1.0}})
