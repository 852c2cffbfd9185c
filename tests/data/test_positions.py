"""Closed-form patch positions against a map of coordinates that is cropped, resized and flipped like the image."""

import numpy as np
import pytest
import torch
from PIL import Image

from cribo.data.positions import patch_positions


def by_map(left, top, width, height, flipped, size, grid):
    """Crop, resize and flip an image whose pixel values are its own coordinates; average over each patch."""
    out = []
    for axis in range(2):
        coordinates = np.mgrid[0:300, 0:400][1 - axis].astype(np.float32)
        crop = Image.fromarray(coordinates[top : top + height, left : left + width])
        view = np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC))
        view = view[:, ::-1] if flipped else view
        out.append(view.reshape(grid, size // grid, grid, size // grid).mean(axis=(1, 3)))
    return torch.from_numpy(np.stack(out, axis=-1).reshape(-1, 2))


@pytest.mark.parametrize("box", [(0, 0, 400, 300, 0), (17, 40, 230, 181, 1), (300, 5, 90, 100, 1), (31, 100, 150, 200, 0)])
@pytest.mark.parametrize("grid", [14, 28])
def test_positions_equal_those_of_a_transformed_coordinate_map(box, grid):
    boxes = torch.tensor([[box, (0, 0, 400, 300, 0)]], dtype=torch.float32)
    ours = patch_positions(boxes, grid)[0]
    assert (ours[: grid**2] - by_map(*box, 224, grid)).abs().max() < 0.02
    assert (ours[grid**2 :] - by_map(0, 0, 400, 300, 0, 224, grid)).abs().max() < 0.02
