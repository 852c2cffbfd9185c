"""Augmented views of an image: a random draw, then its rendering, each a pure function.

The distribution is that of DINO's two global crops and, if requested, of its local crops: random resized crop, flip,
colour jitter, grayscale, blur, and solarisation of the second view. All arithmetic is in uint8, on the crop only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import UInt8


@dataclass(frozen=True)
class Draw:
    """Everything random about one view."""

    left: int
    top: int
    width: int
    height: int
    flipped: bool
    jitter: tuple[tuple[str, float], ...]  # operations in the order of application
    gray: bool
    blur: float  # standard deviation in px, 0: none
    solarised: bool

    @property
    def box(self) -> tuple[float, ...]:
        """left, top, width, height (px of the original) and whether the view is mirrored, for `patch_positions`."""
        return self.left, self.top, self.width, self.height, float(self.flipped)


def draw_view(rng: np.random.Generator, width: int, height: int, view: int, settings: dict) -> Draw:
    """Draw view 0 or 1 of an image of the given size; `settings` is `pretrain.views`."""
    crop = draw_crop(rng, width, height, settings["crop_area"], settings["crop_aspect"])
    flipped = bool(rng.random() < settings["flip"])
    jitter: tuple[tuple[str, float], ...] = ()
    if rng.random() < settings["jitter"]:
        factors = {
            name: rng.uniform(1 - settings[name], 1 + settings[name]) for name in ("brightness", "contrast", "saturation")
        }
        factors["hue"] = rng.uniform(-settings["hue"], settings["hue"])
        jitter = tuple((name, float(factors[name])) for name in rng.permutation(list(factors)))
    gray = bool(rng.random() < settings["grayscale"])
    blur = float(rng.uniform(*settings["blur_radius"])) if rng.random() < settings["blur"][view] else 0.0
    solarised = bool(rng.random() < settings["solarise"][view])
    return Draw(*crop, flipped, jitter, gray, blur, solarised)


def local_views(rng, image: UInt8[np.ndarray, "H W 3"], settings: dict) -> UInt8[np.ndarray, "C 3 s s"]:
    """The local crops of an image, per `pretrain.views.local`: smaller, with their own blur probability, never solarised."""
    local = settings["local"]
    own = {**settings, **local, "blur": [local["blur"]], "solarise": [0.0]}
    draws = [draw_view(rng, image.shape[1], image.shape[0], 0, own) for _ in range(local["count"])]
    return np.stack([render_view(image, draw, local["size"]) for draw in draws])


def draw_crop(rng, width: int, height: int, area: list[float], aspect: list[float]) -> tuple[int, int, int, int]:
    """Draw a crop of uniform area and log-uniform aspect; after ten that do not fit, take the largest centred one."""
    for _ in range(10):
        target = width * height * rng.uniform(*area)
        ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h
    w, h = width, height
    if width / height < aspect[0]:
        h = round(width / aspect[0])
    elif width / height > aspect[1]:
        w = round(height * aspect[1])
    return (width - w) // 2, (height - h) // 2, w, h


def render_view(image: UInt8[np.ndarray, "H W 3"], draw: Draw, size: int) -> UInt8[np.ndarray, "3 S S"]:
    """Render the view that a draw describes: `size` pixels on each side, RGB, channels first."""
    view = _resized(image[draw.top : draw.top + draw.height, draw.left : draw.left + draw.width], size)
    if draw.flipped:
        view = cv2.flip(view, 1)
    for name, factor in draw.jitter:
        view = _JITTER[name](view, factor)
    if draw.gray:
        view = _gray(view)
    if draw.blur:
        view = cv2.GaussianBlur(view, (0, 0), draw.blur, borderType=cv2.BORDER_REPLICATE)
    if draw.solarised:
        view = cv2.LUT(view, _SOLARISE)
    planes = np.empty((3, size, size), dtype=np.uint8)
    cv2.split(view, list(planes))
    return planes


def _resized(crop: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "S S 3"]:
    """Resize bicubically with antialiasing: equals Pillow up to ±1 in a few pixels per thousand, in a third of its time."""
    pixels = torch.from_numpy(crop[None].copy()).permute(0, 3, 1, 2)  # torch's fast path needs channels last in memory
    resized = torch.nn.functional.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


_LEVELS = np.arange(256, dtype=np.float32)
_SOLARISE = np.where(_LEVELS < 128, _LEVELS, 255 - _LEVELS).astype(np.uint8)


def _table(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def _gray(image):
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _brightness(image, factor):
    return cv2.LUT(image, _table(_LEVELS * factor))


def _contrast(image, factor):
    mean = round(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])
    return cv2.LUT(image, _table(_LEVELS * factor + mean * (1 - factor)))


def _saturation(image, factor):
    return cv2.addWeighted(image, factor, _gray(image), 1 - factor, 0)


def _hue(image, shift):
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(shift * 255) % 256)  # wraps around the colour circle
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


_JITTER = {"brightness": _brightness, "contrast": _contrast, "saturation": _saturation, "hue": _hue}
