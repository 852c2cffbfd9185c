"""The six outlines of generated objects, as functions of the plane.

Each takes coordinates `u`, `v` (float32 [h, w], 1 = half the object's extent) and gives a level: negative inside and
close to the distance near the outline, so that dividing by a pixel's width anti-aliases it. Outlines are always upright
and undeformed; pose and deformation are left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Outline = Callable[[np.ndarray, np.ndarray], np.ndarray]


def disc(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u, v) - 0.84


def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    a, b = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(a - 0.98, b - 0.35), np.maximum(b - 0.98, a - 0.35))


def triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    sides = [u * np.cos(angle) + v * np.sin(angle) for angle in (np.pi / 2, np.pi * 7 / 6, np.pi * 11 / 6)]
    return np.maximum.reduce(sides) - 0.56


def ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(u, v) - 0.67) - 0.28


def bar(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u - np.clip(u, -0.72, 0.72), v) - 0.36


def star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    spike = np.abs(np.mod(np.arctan2(v, u) * 5 / (2 * np.pi), 1) - 0.5) * 2  # 0 between two spikes, 1 on a spike
    return (np.hypot(u, v) - (0.44 + 0.62 * spike)) * 0.7  # the outline is steep here: 0.7 makes the level a distance


# In a circle: neighbours share a texture (see scenes.CLASSES), so their outlines are easy to tell apart.
OUTLINES: dict[str, Outline] = {"disc": disc, "cross": cross, "triangle": triangle, "ring": ring, "bar": bar, "star": star}
