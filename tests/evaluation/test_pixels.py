"""From shares of patches to classes of pixels, against loops."""

from __future__ import annotations

import pytest
import torch

from cribo.evaluation.pixels import pixel_classes


@pytest.mark.parametrize("size", [(24, 40), (27, 43), (3, 5), (25, 90)])
def test_pixels(size):
    """Bilinear interpolation with half-pixel centres, by loops."""
    torch.manual_seed(0)
    shares = torch.rand(3, 5, 6)
    shares[..., [0, 4]] = 0
    found = pixel_classes(shares, size)
    for y in range(size[0]):
        for x in range(size[1]):
            v = min(max((y + 0.5) * 3 / size[0] - 0.5, 0), 2)
            u = min(max((x + 0.5) * 5 / size[1] - 0.5, 0), 4)
            top, left = int(v), int(u)
            bottom, right, a, b = min(top + 1, 2), min(left + 1, 4), v - top, u - left
            blend = (1 - a) * ((1 - b) * shares[top, left] + b * shares[top, right]) + a * (
                (1 - b) * shares[bottom, left] + b * shares[bottom, right]
            )
            assert blend[int(found[y, x])] == pytest.approx(float(blend.max()), abs=1e-6)


def test_equal_planes_go_to_the_lowest_class():
    shares = torch.zeros(2, 2, 5)
    shares[..., [1, 3]] = 0.5
    assert (pixel_classes(shares, (8, 8)) == 1).all()
