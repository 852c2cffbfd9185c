"""Generated scenes: textured objects of twelve classes over textured grounds, with occlusion and clutter.

A class is a combination of an outline and a texture. Each of the six outlines and each of the six textures belongs to two
classes, so neither alone determines the class. Colours are drawn independently of it, so nearest neighbours in colour find
next to nothing. Each of six scene types favours four classes and two grounds, so an object's surroundings are informative.

Every image is a pure function of (seed, split, index): any number of workers renders the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cribo.data.preparation.scenes_shapes import OUTLINES
from cribo.data.preparation.scenes_textures import GROUNDS, TEXTURES, smooth_noise

SPLITS = ("train", "val")
_OUTLINES, _TEXTURES = tuple(OUTLINES), tuple(TEXTURES)
# Outline s goes with textures s and s + 1 (mod 6), so that every cue is shared by two classes.
PAIRS = tuple((s, (s + extra) % 6) for s in range(6) for extra in (0, 1))
CLASSES = ("background", *(f"{_TEXTURES[t]}_{_OUTLINES[s]}" for s, t in PAIRS))
# Each class is favoured by two scene types, and no scene type favours two classes that share a cue.
FAVOURED = tuple(tuple((2 * kind + step) % 12 for step in (0, 3, 7, 10)) for kind in range(6))

Box = tuple[slice, slice]  # rows and columns of a square, in pixels of the image; may extend beyond it
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Placed:
    """One object of a scene. `visible` is the share of its whole outline that is inside the image and not occluded."""

    category: int  # 1..12, an index into CLASSES
    visible: float


@dataclass(frozen=True)
class Scene:
    """image: uint8 [S, S, 3] RGB. instances: uint8 [S, S], 0 is ground and k the k-th of `objects`, farthest first."""

    image: np.ndarray
    instances: np.ndarray
    objects: tuple[Placed, ...]

    def mask(self) -> np.ndarray:
        """Class ids, uint8 [S, S]; 255 on a line, one pixel wide, around the visible part of each object.

        The line lies on whatever is behind: a pixel is void if one of its four neighbours belongs to something nearer.
        """
        nearer = cv2.dilate(self.instances, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) > self.instances
        ids = np.array([0, *(o.category for o in self.objects)], dtype=np.uint8)[self.instances]
        ids[nearer] = 255
        return ids


def render(size: int, objects: tuple[int, int], seed: int, split: str, index: int) -> Scene:
    """Draw image `index` of `split`: `size` px per side, with `objects[0]` to `objects[1]` objects."""
    rng = np.random.default_rng((seed, SPLITS.index(split), index))
    unit = size / 96  # lengths below are in pixels of a 96 px image
    kind = int(rng.integers(6))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / unit
    palette = _Palette(rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.2), rng)
    canvas = _ground(x, y, kind, palette, rng)
    _clutter(canvas, unit, palette, rng)
    instances = np.zeros((size, size), dtype=np.uint8)
    count = int(rng.integers(objects[0], objects[1] + 1))
    whole = []
    categories = []
    for number in range(1, count + 1):
        favoured = rng.random() < 0.8
        category = int(rng.choice(FAVOURED[kind])) if favoured else int(rng.integers(12))
        whole.append(_add(canvas, instances, number, category, whole, count, palette, rng))
        categories.append(category + 1)
    _light(canvas, x / 96, y / 96, rng)
    seen = np.bincount(instances.ravel(), minlength=count + 1)[1:]
    placed = tuple(Placed(c, float(min(n / max(a, 1), 1))) for c, n, a in zip(categories, seen, whole, strict=True))
    return Scene(np.rint(canvas * 255).astype(np.uint8), instances, placed)


# ------------------------------------------------------------------------------------------------------------- colours
@dataclass(frozen=True)
class _Palette:
    """The colours of one image, around one hue (radians) and one colourfulness (`chroma`: 0 is gray, 0.5 vivid).

    Ground and objects share the palette. If each object had its own colour, telling an image's objects apart by colour
    would be so easy that a model that learns only from views of the same image would learn little else.
    """

    hue: float
    chroma: float
    rng: np.random.Generator

    def colour(self, luma: float) -> np.ndarray:
        """Draw an RGB colour, float32 [3], of a brightness in 0-1; hue and colourfulness vary around the palette's."""
        hue = self.hue + self.rng.normal(0, 0.8)
        direction = np.cos(hue - np.array([0, 2, 4]) * np.pi / 3).astype(np.float32)
        chroma = self.chroma * self.rng.uniform(0.3, 1.2)
        return np.clip(luma + chroma * (direction - direction @ _LUMA), 0.02, 0.98)


def _mixed(field: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """float32 [h, w, 3]: the colour `low` where the field is 0, `high` where it is 1."""
    return low + field[..., None] * (high - low)


# -------------------------------------------------------------------------------------------------------------- ground
def _ground(x: np.ndarray, y: np.ndarray, kind: int, palette: _Palette, rng: np.random.Generator) -> np.ndarray:
    """Draw a ground, float32 [S, S, 3] in 0-1: one of the two that this scene type favours, or seldom any of the six."""
    family = int(rng.choice([kind, (kind + 1) % 6, int(rng.integers(6))], p=[0.5, 0.3, 0.2]))
    field = GROUNDS[family](x, y, rng)
    middle, spread = rng.uniform(0.35, 0.65), rng.uniform(0.08, 0.2)
    return _mixed(field, palette.colour(middle - spread), palette.colour(middle + spread))


def _clutter(canvas: np.ndarray, unit: float, palette: _Palette, rng: np.random.Generator) -> None:
    """Draw pebbles and twigs on the ground, in place; they are part of the background."""
    size = canvas.shape[0]
    for _ in range(int(rng.integers(2, 9))):
        colour = palette.colour(rng.uniform(0.15, 0.85))
        at, turn = rng.uniform(0, size, 2), rng.uniform(0, np.pi)
        cover = np.zeros((size, size), dtype=np.uint8)  # OpenCV smooths edges in 8 bits only
        if rng.random() < 0.5:
            axes = rng.uniform(1.2, 4.0, 2) * unit
            cv2.ellipse(cover, (at.tolist(), (2 * axes).tolist(), np.degrees(turn)), 255, -1, cv2.LINE_AA)
        else:
            end = at + rng.uniform(6, 22) * unit * np.array([np.cos(turn), np.sin(turn)])
            cv2.line(cover, at.astype(int).tolist(), end.astype(int).tolist(), 255, max(1, round(unit)), cv2.LINE_AA)
        x, y, width, height = cv2.boundingRect(cover)
        part = canvas[y : y + height, x : x + width]
        part += cover[y : y + height, x : x + width, None] * np.float32(1 / 255) * (colour - part)


# ------------------------------------------------------------------------------------------------------------- objects
@dataclass(frozen=True)
class _Pose:
    """Centre and half extent in pixels of the image, turn in radians, and a deformation of the plane [2, 2]."""

    centre: np.ndarray
    reach: float
    turn: float
    shape: np.ndarray


def _add(
    canvas: np.ndarray,
    instances: np.ndarray,
    number: int,
    category: int,
    whole: list[int],
    count: int,
    palette: _Palette,
    rng: np.random.Generator,
) -> int:
    """Paint one object over the others, in place; return the pixel count of its whole outline, occluded or not.

    Places are drawn until enough of every object stays visible; in a crowd without such a place, the best of 12 is taken.
    """
    size = instances.shape[0]
    unit = size / 96
    outline = OUTLINES[_OUTLINES[PAIRS[category][0]]]
    reach = rng.uniform(15, 27) * unit * min(1.0, (6 / count) ** 0.5)
    turn = rng.uniform(-0.45, 0.45)  # things stand more or less upright, as they do in photos
    stretch, shear = rng.uniform(0.86, 1.16), rng.uniform(-0.16, 0.16)
    shape = np.array([[stretch, shear], [0, 1 / stretch]], dtype=np.float32)
    best, best_worst = None, -1.0
    for _ in range(12):
        centre = rng.uniform(0.1 * size, 0.9 * size, 2)
        pose = _Pose(centre, reach, turn, shape)
        u, v, box = _window(pose)
        alpha = np.clip(0.5 - outline(u, v) * reach, 0, 1)
        worst = _worst_visible(instances, alpha > 0.5, box, whole)
        if worst > best_worst:
            best, best_worst = (u, v, box, alpha), worst
        if worst >= 0.45:
            break
        reach *= 0.96  # a crowded image: a little smaller each time
    u, v, box, alpha = best
    inside, cut = _clipped(box, size)
    colours = _skin(u, v, reach / unit, PAIRS[category][1], palette, rng)
    _shadow(canvas, alpha, box, unit, rng)
    a = alpha[cut][..., None]
    canvas[inside] += a * (colours[cut] - canvas[inside])
    instances[inside][alpha[cut] > 0.5] = number
    return int((alpha > 0.5).sum())


def _window(pose: _Pose) -> tuple[np.ndarray, np.ndarray, Box]:
    """The object's own coordinates over the square that holds it, and that square, which may extend beyond the image."""
    half = int(np.ceil(pose.reach * 1.25)) + 1
    cx, cy = pose.centre
    top, left = int(cy) - half, int(cx) - half
    side = 2 * half + 1
    y, x = np.mgrid[top : top + side, left : left + side].astype(np.float32)
    x, y = (x - np.float32(cx)) / np.float32(pose.reach), (y - np.float32(cy)) / np.float32(pose.reach)
    c, s = np.float32(np.cos(pose.turn)), np.float32(np.sin(pose.turn))
    x, y = c * x + s * y, c * y - s * x
    u, v = pose.shape[0, 0] * x + pose.shape[0, 1] * y, pose.shape[1, 1] * y
    u, v = u + 0.05 * np.sin(2.5 * v + pose.turn), v + 0.05 * np.sin(2.5 * u - pose.turn)
    return u, v, (slice(top, top + side), slice(left, left + side))


def _clipped(box: Box, size: int) -> tuple[Box, Box]:
    """The part of a square that lies in the image, and the same part in the square's own pixels."""
    inside = tuple(slice(max(b.start, 0), min(b.stop, size)) for b in box)
    return inside, tuple(slice(i.start - b.start, i.stop - b.start) for i, b in zip(inside, box, strict=True))


def _worst_visible(instances: np.ndarray, solid: np.ndarray, box: Box, whole: list[int]) -> float:
    """The smallest visible share among all objects if `solid` is put on top of the others."""
    inside, cut = _clipped(box, instances.shape[0])
    own = solid[cut].sum() / max(solid.sum(), 1)
    seen = np.bincount(instances.ravel(), minlength=len(whole) + 1)
    hidden = np.bincount(instances[inside][solid[cut]], minlength=len(whole) + 1)
    return min([float(own), *((seen[k] - hidden[k]) / max(area, 1) for k, area in enumerate(whole, 1))])


def _skin(
    u: np.ndarray, v: np.ndarray, reach: float, texture: int, palette: _Palette, rng: np.random.Generator
) -> np.ndarray:
    """Colours of an object, float32 [h, w, 3]: two of the palette, mixed by the texture, with light across the object."""
    period = rng.uniform(6.5, 10.0)
    field = TEXTURES[_TEXTURES[texture]](u * reach, v * reach, period, rng)
    middle, spread = rng.uniform(0.35, 0.65), rng.uniform(0.14, 0.3)
    spread *= rng.choice([-1, 1])  # light on dark or dark on light, whatever the texture
    colours = _mixed(field, palette.colour(middle - spread), palette.colour(middle + spread))
    angle = rng.uniform(0, 2 * np.pi)
    return colours * (1 + 0.18 * (np.cos(angle) * u + np.sin(angle) * v))[..., None]


def _shadow(canvas: np.ndarray, alpha: np.ndarray, box: Box, unit: float, rng: np.random.Generator) -> None:
    """Draw an object's shadow, in place: its outline, blurred and shifted a little in a random direction."""
    shift = rng.uniform(-2.5, 2.5, 2) * unit
    moved = tuple(slice(b.start + int(d), b.stop + int(d)) for b, d in zip(box, shift, strict=True))
    inside, cut = _clipped(moved, canvas.shape[0])
    canvas[inside] *= 1 - rng.uniform(0.1, 0.4) * cv2.GaussianBlur(alpha, (0, 0), 1.5 * unit)[cut][..., None]


# --------------------------------------------------------------------------------------------------------------- light
def _light(canvas: np.ndarray, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
    """Light the whole image, in place: one direction, strength and colour, then the camera's tone curve and noise."""
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)
    patchy = smooth_noise(x.shape, (3, 3), rng) - 0.5
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3).astype(np.float32)
    canvas *= (1 + rng.uniform(0, 0.35) * across + 0.2 * patchy)[..., None] * gain
    np.clip(canvas, 0, 1, out=canvas)
    canvas **= np.float32(rng.uniform(0.8, 1.25))
    canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(rng.uniform(0.008, 0.022))
    np.clip(canvas, 0, 1, out=canvas)
