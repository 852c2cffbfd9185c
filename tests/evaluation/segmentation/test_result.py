"""The result of a cell of segmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cribo.evaluation.segmentation.result import cell


@pytest.mark.parametrize("protocol", ["linear_segmentation", "segmenter"])
def test_a_result_says_what_the_manifest_of_its_data_warns_of(protocol, encoder, photos, request):
    settings = request.getfixturevalue(f"{protocol.removesuffix('_segmentation')}_settings")
    data = replace(photos, warnings=("train has 5 images, the paper's has 10582",))
    matrix = np.eye(len(data.classes), dtype=np.int64)
    assert cell(protocol, encoder, data, settings, 1e-3, 1, matrix, {})["data_warnings"] == list(data.warnings)
