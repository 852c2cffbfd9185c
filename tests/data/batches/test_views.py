"""Augmentation: pure, in bounds, with DINO's distribution, each operation as PIL or torchvision defines it."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from cribo.data.batches.views import Draw, draw_crop, draw_view, local_views, render_view

SETTINGS = {
    "crop_area": [0.25, 1.0],
    "crop_aspect": [0.75, 1.3333],
    "flip": 0.5,
    "jitter": 0.8,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.2,
    "hue": 0.1,
    "grayscale": 0.2,
    "blur": [1.0, 0.1],
    "blur_radius": [0.1, 2.0],
    "solarise": [0.0, 0.2],
}
PLAIN = {
    "left": 0,
    "top": 0,
    "width": 48,
    "height": 48,
    "flipped": False,
    "jitter": (),
    "gray": False,
    "blur": 0.0,
    "solarised": False,
}


def photo(seed=0, size=48):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def draws(view, n=4000, size=(120, 90)):
    return [draw_view(np.random.default_rng([1, i]), *size, view, SETTINGS) for i in range(n)]


def test_the_same_seed_draws_the_same_view():
    a, b = (draw_view(np.random.default_rng(3), 100, 80, 0, SETTINGS) for _ in range(2))
    assert a == b and np.array_equal(render_view(photo(), a, 32), render_view(photo(), b, 32))


@pytest.mark.parametrize("view", [0, 1])
def test_probabilities_of_every_operation_are_those_of_the_settings(view):
    seen = draws(view)
    rates = {
        "flip": [d.flipped for d in seen],
        "jitter": [bool(d.jitter) for d in seen],
        "grayscale": [d.gray for d in seen],
    }
    for name, flags in rates.items():
        assert abs(np.mean(flags) - SETTINGS[name]) < 0.03, name
    assert abs(np.mean([d.blur > 0 for d in seen]) - SETTINGS["blur"][view]) < 0.03
    assert abs(np.mean([d.solarised for d in seen]) - SETTINGS["solarise"][view]) < 0.03


def test_crops_have_torchvisions_distribution():
    ours = np.array([d.box[:4] for d in draws(0)])
    torch.manual_seed(0)
    blank = torch.zeros(3, 90, 120)
    theirs = np.array([_torchvision_crop(blank) for _ in range(4000)])
    for column in range(4):
        for quantile in (0.1, 0.5, 0.9):
            assert abs(np.quantile(ours[:, column], quantile) - np.quantile(theirs[:, column], quantile)) < 4
    assert (ours[:, 0] + ours[:, 2] <= 120).all() and (ours[:, 1] + ours[:, 3] <= 90).all() and (ours >= 0).all()


def _torchvision_crop(blank):
    p = v2.RandomResizedCrop(8, (0.25, 1), (0.75, 4 / 3)).make_params([blank])
    return p["left"], p["top"], p["width"], p["height"]


def test_an_extreme_image_falls_back_to_the_largest_centred_crop():
    d = draw_view(np.random.default_rng(0), 1000, 10, 0, SETTINGS)
    assert (d.left, d.top, d.width, d.height) == (493, 0, 13, 10)


@pytest.mark.parametrize(("width", "height"), [(30, 21), (48, 48), (9, 13)])
def test_crop_resize_and_flip_are_pils_but_for_rounding(width, height):
    d = Draw(**{**PLAIN, "left": 0, "top": 0, "width": width, "height": height, "flipped": True})
    pil = Image.fromarray(photo()).crop((0, 0, width, height)).resize((24, 24), Image.Resampling.BICUBIC)
    theirs = np.asarray(pil.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).transpose(2, 0, 1).astype(int)
    difference = np.abs(render_view(photo(), d, 24).astype(int) - theirs)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.02


def test_crop_is_taken_where_the_draw_says():
    image = np.zeros((40, 50, 3), np.uint8)
    image[7:28, 5:35] = (10, 20, 30)
    d = Draw(**{**PLAIN, "left": 5, "top": 7, "width": 30, "height": 21})
    assert (render_view(image, d, 24) == np.array([10, 20, 30])[:, None, None]).all()


def test_image_that_must_not_be_written_is_left_alone():
    image = photo()
    image.setflags(write=False)
    before = image.copy()
    render_view(image, Draw(**{**PLAIN, "jitter": (("brightness", 1.3), ("hue", 0.05)), "blur": 1.0}), 24)
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("name", "factor", "reference"),
    [
        ("brightness", 1.3, tv.adjust_brightness),
        ("contrast", 0.7, tv.adjust_contrast),
        ("saturation", 1.2, tv.adjust_saturation),
        ("hue", 0.08, tv.adjust_hue),
        ("hue", -0.05, tv.adjust_hue),
    ],
)
def test_colour_jitter_equals_torchvisions_within_rounding(name, factor, reference):
    ours = render_view(photo(), Draw(**{**PLAIN, "jitter": ((name, factor),)}), 48).astype(int)
    theirs = np.asarray(reference(Image.fromarray(photo()), factor)).transpose(2, 0, 1).astype(int)
    assert np.abs(ours - theirs).mean() < (2.5 if name == "hue" else 0.6)


def test_gray_solarise_and_blur_equal_their_definitions():
    x = photo()
    gray = render_view(x, Draw(**{**PLAIN, "gray": True}), 48)
    assert np.abs(gray[0].astype(float) - x @ [0.299, 0.587, 0.114]).max() <= 1
    assert (gray[0] == gray[1]).all()
    solarised = render_view(x, Draw(**{**PLAIN, "solarised": True}), 48)
    assert np.array_equal(solarised, np.where(x < 128, x, 255 - x).transpose(2, 0, 1))
    blurred = render_view(x, Draw(**{**PLAIN, "blur": 1.5}), 48).astype(float)
    exact = tv.gaussian_blur(torch.from_numpy(x.transpose(2, 0, 1)).float(), [13, 13], [1.5, 1.5]).numpy()
    assert np.abs(blurred - exact)[:, 8:-8, 8:-8].max() < 2


@pytest.mark.parametrize(("size", "crop"), [((300, 100), (83, 0, 133, 100)), ((100, 300), (0, 83, 100, 133))])
def test_where_no_crop_fits_the_largest_centred_one_is_taken_of_wide_and_of_tall_photos(size, crop):
    assert draw_crop(np.random.default_rng(0), *size, [5, 5], [3 / 4, 4 / 3]) == crop


def test_local_crops_are_cut_from_the_whole_of_a_photo_that_is_not_square():
    image = np.random.default_rng(0).integers(0, 256, (48, 16, 3), dtype=np.uint8)
    plain = dict.fromkeys(("flip", "jitter", "grayscale"), 0.0)
    local = {"count": 1, "size": 8, "crop_area": [1, 1], "blur": 0.0}
    found = local_views(np.random.default_rng(0), image, {**plain, "crop_aspect": [1 / 3, 1 / 3], "local": local})
    assert np.array_equal(found[0], render_view(image, Draw(0, 0, 16, 48, False, (), False, 0.0, False), 8))
