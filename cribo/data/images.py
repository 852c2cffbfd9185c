"""Pixels of images and class ids of masks, from files or bytes: one sentence naming the file when it is corrupt."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from cribo.data.manifest import DataError


def read_image(path: str | Path) -> np.ndarray:
    """Pixels of a JPEG or PNG, uint8 [H, W, 3] RGB, as stored (an EXIF orientation is not applied).

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    return decode_image(_bytes(path), path)


def read_mask(path: str | Path) -> np.ndarray:
    """Class ids of a palette or gray PNG, uint8 [H, W]: the values stored, not the palette's colours.

    Raises:
        DataError: the file is missing, truncated, no image, or in colour.
    """
    return decode_mask(_bytes(path), path)


def decode_image(raw: bytes, path: str | Path) -> np.ndarray:
    """`read_image` of bytes; `path` is for messages."""
    if raw[:2] == b"\xff\xd8":
        try:
            return simplejpeg.decode_jpeg(raw, "RGB")
        except ValueError:
            pass  # CMYK, or bytes too many that other readers forgive: Pillow decides whether the image is complete
    with _opened(raw, path) as image:
        return np.array(image.convert("RGB"))


def decode_mask(raw: bytes, path: str | Path) -> np.ndarray:
    """`read_mask` of bytes; `path` is for messages."""
    with _opened(raw, path) as image:
        if image.mode not in ("P", "L"):
            raise DataError(f"{path} is no mask of class ids: a palette or 8-bit gray PNG is needed, not mode {image.mode}")
        return np.array(image)


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def _opened(raw: bytes, path: str | Path) -> Image.Image:
    """The image in full: Pillow reads lazily, and a truncated file shows only then."""
    try:
        image = Image.open(io.BytesIO(raw))
        image.load()
        return image
    except UnidentifiedImageError:
        raise DataError(f"{path} is corrupt or no image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is corrupt ({error})") from None
