"""Closed-form patch positions against a map of coordinates that is cropped, resized and flipped like the image."""

import numpy as np
import pytest
import torch
from PIL import Image

from cribo.data.batches.positions import patch_classes, patch_positions


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


@pytest.mark.parametrize("box", [(0, 0, 40, 30, 0), (7, 4, 23, 18, 1), (30, 5, 9, 10, 1), (39, 29, 1, 1, 0)])
@pytest.mark.parametrize("grid", [3, 6])
def test_the_class_of_a_patch_is_that_of_the_pixel_closest_to_its_centre(box, grid):
    rng = np.random.default_rng(0)
    mask = torch.from_numpy(rng.integers(0, 255, (30, 40), dtype=np.uint8))
    positions = patch_positions(torch.tensor([[box, box]], dtype=torch.float32), grid)[0]
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
    left, top, width, height, _ = box
    for place, given in zip(positions, patch_classes(mask, positions), strict=True):
        distance = (x - place[0]) ** 2 + (y - place[1]) ** 2
        closest = (distance - distance.min()).abs() < 1e-3  # two at the same distance: either
        assert given in mask[closest]
        inside = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
        assert given in mask[closest & inside]


def test_a_mirrored_view_has_the_mirrored_classes():
    mask = torch.arange(12 * 12, dtype=torch.uint8).view(12, 12)
    plain, mirrored = (
        patch_classes(mask, patch_positions(torch.tensor([[(2, 1, 9, 9, f)] * 2], dtype=torch.float32), 3)[0])[:9].view(3, 3)
        for f in (0, 1)
    )
    assert torch.equal(plain, mirrored.flip(1)) and plain.tolist() == mask[2:11:3, 3:12:3].tolist()
