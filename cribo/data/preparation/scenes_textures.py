"""The six textures of generated objects and the six families of grounds, as fields in [0, 1].

A texture's coordinates `x`, `y` (float32 [h, w]) are in pixels of a 96 px image and rotate with the object; `period` is
in the same unit. Textures repeat within one to two 8 px patches, so a patch shows which one it is; grounds vary more
slowly or more faintly. The caller mixes in colours, which are independent of both.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Texture = Callable[[np.ndarray, np.ndarray, float, np.random.Generator], np.ndarray]
Ground = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _crisp(wave: np.ndarray, gain: float = 2.2) -> np.ndarray:
    """A wave in [-1, 1] as a nearly two-valued field in [0, 1], with soft edges about a pixel wide."""
    return np.clip(0.5 + 0.5 * gain * wave, 0, 1)


def _pixels(x: np.ndarray, y: np.ndarray) -> float:
    """Image pixels per unit of the coordinates; noise is drawn per pixel, and needs this to keep its size."""
    return 1 / float(np.hypot(x[0, 1] - x[0, 0], y[0, 1] - y[0, 0]))


def smooth_noise(shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise in [0, 1], float32 `shape`, interpolated from a grid of `cells` random values."""
    coarse = rng.random(cells, dtype=np.float32)
    return np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


# ------------------------------------------------------------------------------------------------------------ objects
def stripes(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    return _crisp(np.sin(x * (2 * np.pi / period)))


def dots(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    row = np.floor(y / period)
    dx = np.mod(x / period + 0.5 * np.mod(row, 2), 1) - 0.5
    dy = np.mod(y / period, 1) - 0.5
    return np.clip((0.36 - np.hypot(dx, dy)) * period + 0.5, 0, 1)


def rings(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    return _crisp(np.sin(np.hypot(x, y) * (2 * np.pi / period)))


def checks(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    pitch = np.pi / (0.62 * period)
    return _crisp(np.sin(x * pitch) * np.sin(y * pitch), 3.5)


def grain(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    """Noise without orientation or period; it does not rotate with the object, as that would not be visible."""
    noise = rng.standard_normal(x.shape, dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.09 * period * _pixels(x, y))
    return _crisp(noise / (2.2 * noise.std() + 1e-6), 1.8)


def bricks(x: np.ndarray, y: np.ndarray, period: float, rng: np.random.Generator) -> np.ndarray:
    row = np.floor(y / (0.75 * period))
    across = np.abs(np.mod(y / (0.75 * period), 1) - 0.5) * 0.75 * period
    along = np.abs(np.mod(x / (1.5 * period) + 0.5 * np.mod(row, 2), 1) - 0.5) * 1.5 * period
    return np.clip(np.minimum(0.375 * period - across, 0.75 * period - along) - 0.2, 0, 1)


TEXTURES: dict[str, Texture] = {
    "striped": stripes,
    "dotted": dots,
    "ringed": rings,
    "checked": checks,
    "grainy": grain,
    "bricked": bricks,
}


# ------------------------------------------------------------------------------------------------------------ grounds
def clouds(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (
        0.6 * smooth_noise(x.shape, (4, 4), rng)
        + 0.3 * smooth_noise(x.shape, (9, 9), rng)
        + 0.1 * smooth_noise(x.shape, (24, 24), rng)
    )


def _streaks(x: np.ndarray, y: np.ndarray, wide: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Noise around 0, smeared by `wide` horizontally and `high` vertically (standard deviations)."""
    unit = _pixels(x, y)
    noise = rng.random(x.shape, dtype=np.float32) - 0.5
    return unit * cv2.GaussianBlur(noise, (0, 0), sigmaX=wide * unit, sigmaY=high * unit)  # smearing divides it by unit


def grass(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    blades = _streaks(x, y, 0.6, 3.0, rng)
    return np.clip(0.5 + 3.2 * blades, 0, 1) * 0.7 + 0.3 * smooth_noise(x.shape, (4, 4), rng)


def planks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    width = rng.uniform(15, 24)
    board = y / width + rng.random()
    tone = rng.random(64, dtype=np.float32)[np.floor(board).astype(int) % 64]
    seam = np.clip(np.abs(np.mod(board, 1) - 0.5) * width - (0.5 * width - 1), 0, 1)
    return np.clip(0.25 + 0.5 * tone + 1.5 * _streaks(x, y, 6.0, 0.7, rng) - 0.5 * seam, 0, 1)


def tiles(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pitch, turn = rng.uniform(17, 26), rng.uniform(0, np.pi / 2)
    a = (x * np.cos(turn) + y * np.sin(turn)) / pitch + rng.random()
    b = (y * np.cos(turn) - x * np.sin(turn)) / pitch + rng.random()
    seam = np.maximum(*(np.clip(np.abs(np.mod(c, 1) - 0.5) * pitch - (0.5 * pitch - 1), 0, 1) for c in (a, b)))
    tone = rng.random((16, 16), dtype=np.float32)[np.floor(a).astype(int) % 16, np.floor(b).astype(int) % 16]
    return np.clip(0.45 + 0.3 * tone - 0.6 * seam, 0, 1)


def water(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    bend = smooth_noise(x.shape, (4, 4), rng) * 3
    waves = np.sin(2 * np.pi * (y / rng.uniform(11, 18) + bend)) * smooth_noise(x.shape, (5, 5), rng)
    return 0.5 + 0.35 * waves


def horizon(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two areas that meet at a wavy line: sky over sand, which is finely speckled."""
    line = rng.uniform(25, 60) + 10 * (smooth_noise((1, x.shape[1]), (1, 5), rng) - 0.5)
    below = np.clip(y - line, 0, 1)
    sand = 0.8 + 0.3 * (rng.random(x.shape, dtype=np.float32) - 0.5)
    return below * sand + (1 - below) * (0.35 * y / line)


GROUNDS: tuple[Ground, ...] = (clouds, grass, planks, tiles, water, horizon)
