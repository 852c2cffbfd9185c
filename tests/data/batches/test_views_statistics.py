"""Augmentation is torchvision's in distribution: parameters by Kolmogorov-Smirnov and χ² tests, outputs by their moments.

Seeds are fixed, so a test gives the same p every time; 0.001 is where a difference counts.
"""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy import stats
from torchvision.transforms import v2

from cribo.data.batches.views import Draw, draw_view, render_view
from tests.data.batches import test_views as views

SETTINGS = {**views.SETTINGS, "crop_aspect": [0.75, 4 / 3]}
N, WIDTH, HEIGHT = 4000, 500, 375
FACTORS = ("brightness", "contrast", "saturation", "hue")


@pytest.fixture(scope="module")
def ours():
    """Both views of N images."""
    pairs = []
    for n in range(N):
        rng = np.random.default_rng([7, n])
        pairs.append([draw_view(rng, WIDTH, HEIGHT, view, SETTINGS) for view in range(2)])
    return pairs


@pytest.fixture(scope="module")
def crops():
    """Left, top, width, height of N of torchvision's crops."""
    torch.manual_seed(0)
    crop, blank = v2.RandomResizedCrop(224, (0.25, 1.0), (0.75, 4 / 3)), [torch.empty(3, HEIGHT, WIDTH)]
    found = [crop.make_params(blank) for _ in range(N)]
    return np.array([[p[name] for name in ("left", "top", "width", "height")] for p in found], dtype=float)


@pytest.fixture(scope="module")
def jitters():
    """Parameters of N of torchvision's colour jitters."""
    torch.manual_seed(1)
    jitter = v2.ColorJitter(*(SETTINGS[name] for name in FACTORS))
    return [jitter.make_params([]) for _ in range(N)]


def same(a, b) -> float:
    return stats.ks_2samp(a, b).pvalue


def measures(boxes):
    left, top, width, height = boxes.T
    return {
        "area": width * height,
        "aspect": width / height,
        "left": left / np.maximum(WIDTH - width, 1),
        "top": top / np.maximum(HEIGHT - height, 1),
        "width": width,
        "height": height,
    }


@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("name", ["area", "aspect", "left", "top", "width", "height"])
def test_crops(ours, crops, view, name):
    mine = measures(np.array([pair[view].box[:4] for pair in ours]))
    assert same(mine[name], measures(crops)[name]) > 0.001


@pytest.mark.parametrize("name", FACTORS)
def test_factors_of_the_colour_jitter(ours, jitters, name):
    mine = [dict(draw.jitter)[name] for pair in ours for draw in pair if draw.jitter]
    assert same(mine, [float(p[f"{name}_factor"]) for p in jitters]) > 0.001


def test_order_of_the_colour_jitter_is_every_one_equally_often(ours, jitters):
    orders = list(itertools.permutations(FACTORS))
    mine = [orders.index(tuple(name for name, _ in draw.jitter)) for pair in ours for draw in pair if draw.jitter]
    theirs = [orders.index(tuple(FACTORS[int(k)] for k in p["fn_idx"])) for p in jitters]
    for found in (mine, theirs):
        assert stats.chisquare(np.bincount(found, minlength=24)).pvalue > 0.001


def test_radius_of_the_blur(ours):
    assert same([pair[0].blur for pair in ours], np.random.default_rng(0).uniform(0.1, 2.0, N)) > 0.001


@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("name", ["flip", "jitter", "grayscale", "blur", "solarise"])
def test_how_often_each_operation_happens(ours, view, name):
    draws = [pair[view] for pair in ours]
    seen = {
        "flip": sum(d.flipped for d in draws),
        "jitter": sum(bool(d.jitter) for d in draws),
        "grayscale": sum(d.gray for d in draws),
        "blur": sum(d.blur > 0 for d in draws),
        "solarise": sum(d.solarised for d in draws),
    }[name]
    share = SETTINGS[name] if name not in ("blur", "solarise") else SETTINGS[name][view]
    assert stats.binomtest(seen, N, share).pvalue > 0.001


def test_views_of_an_image_are_drawn_independently(ours):
    table = np.zeros((2, 2))
    for first, second in ours:
        table[int(first.flipped), int(second.flipped)] += 1
    assert stats.chi2_contingency(table).pvalue > 0.001
    left, right = np.array([[first.width, second.width] for first, second in ours]).T
    assert stats.spearmanr(left, right).pvalue > 0.001


# --------------------------------------------------------------------------------------------------------------- outputs
def photo(seed: int) -> np.ndarray:
    """Smooth blobs of colour, uint8 [75, 100, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((100, 75), Image.Resampling.BICUBIC))


class PilBlur(torch.nn.Module):
    """DINO's blur."""

    def forward(self, image):
        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(1).uniform_(0.1, 2.0))))


def torchvision_view(view: int) -> v2.Compose:
    jitter = v2.ColorJitter(*(SETTINGS[name] for name in FACTORS))
    return v2.Compose(
        [
            v2.RandomResizedCrop(32, (0.25, 1.0), (0.75, 4 / 3), v2.InterpolationMode.BICUBIC),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([jitter], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([PilBlur()], SETTINGS["blur"][view]),
            v2.RandomSolarize(128, SETTINGS["solarise"][view]),
        ]
    )


def moments(image: np.ndarray) -> dict[str, float]:
    """Of one view, uint8 [32, 32, 3]."""
    x = image.astype(float)
    return {
        "brightness": x.mean(),
        "contrast": x.mean(axis=2).std(),
        "colourfulness": x.std(axis=2).mean(),
        "red share": x[..., 0].mean() / max(x.mean(), 1),
        "sharpness": np.abs(np.diff(x, axis=1)).mean(),
        "left minus right": x[:, :16].mean() - x[:, 16:].mean(),
    }


@pytest.fixture(scope="module")
def outputs():
    """Moments of 400 views by either, for view 0 and 1."""
    torch.manual_seed(2)
    found = []
    for view in range(2):
        transform, mine, theirs = torchvision_view(view), [], []
        for n in range(400):
            image = photo(n)
            draw = draw_view(np.random.default_rng([3, view, n]), 100, 75, view, SETTINGS)
            mine.append(moments(render_view(image, draw, 32).transpose(1, 2, 0)))
            theirs.append(moments(np.asarray(transform(Image.fromarray(image)))))
        found.append((mine, theirs))
    return found


@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("name", list(moments(np.zeros((32, 32, 3), np.uint8))))
def test_what_comes_out(outputs, view, name):
    mine, theirs = outputs[view]
    assert same([m[name] for m in mine], [t[name] for t in theirs]) > 0.001


@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0, 2.0])
def test_blur_is_pillows_within_its_approximation(radius):
    image = photo(0)[:48, :48]
    draw = Draw(0, 0, 48, 48, flipped=False, jitter=(), gray=False, blur=radius, solarised=False)
    theirs = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)), dtype=float)
    assert np.abs(render_view(image, draw, 48).transpose(1, 2, 0) - theirs)[4:-4, 4:-4].max() <= 3
