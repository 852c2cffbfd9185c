"""IoU of each class, against mmsegmentation's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmseg.evaluation.metrics import IoUMetric

from cribo.evaluation.miou import confusion, iou


@pytest.mark.parametrize("seed", range(5))
def test_iou_equals_mmseg(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, 4, (2, 40, 50))
    truth[rng.random(truth.shape) < 0.2] = 255
    prediction[rng.random(truth.shape) < 0.05] = 5  # predicted, and nowhere in the ground truth; class 4 is in neither
    ours = iou(confusion(truth, prediction, 6, 255))
    areas = IoUMetric.intersect_and_union(torch.from_numpy(prediction), torch.from_numpy(truth), 6, 255)
    theirs = (areas[0] / areas[1]).numpy()
    occurs = areas[3].numpy() > 0
    assert ours.occurring == occurs.sum() == 4
    np.testing.assert_allclose(ours.per_class[:4], theirs[:4], rtol=1e-6)
    assert np.isnan(ours.per_class[4:]).all()
    assert ours.mean == pytest.approx(theirs[occurs].mean(), rel=1e-6)


def test_nothing_labelled():
    with pytest.raises(ValueError, match="void everywhere"):
        iou(confusion(np.full(3, 255), np.zeros(3, int), 2, 255))
