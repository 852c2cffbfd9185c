"""Pixels of images and class ids of masks, from files or bytes; for a corrupt file, one sentence that names it."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from cribo.data.prepared import labels
from cribo.data.prepared.manifest import DataError


@dataclass(frozen=True)
class Mask:
    """A mask file, and the rule (cribo.data.prepared.labels) that maps its stored values to class ids."""

    path: Path
    rule: bytes

    def __str__(self) -> str:
        return str(self.path)


def read_image(path: str | Path) -> np.ndarray:
    """Pixels of a JPEG or PNG, uint8 [H, W, 3] RGB, as stored (an EXIF orientation is not applied).

    Raises:
        DataError: the file is missing, truncated, not an image, gray with more than 8 bits, or above Pillow's pixel limit.
    """
    return decode_image(_bytes(path), path)


def read_mask(mask: str | Path | Mask) -> np.ndarray:
    """Class ids of a mask, uint8 [H, W], 255 = void; for a bare path, the values as stored.

    Raises:
        DataError: the file is missing, truncated, not a mask, or stores a value that its rule does not cover.
    """
    path, rule = (mask.path, mask.rule) if isinstance(mask, Mask) else (mask, labels.IDS)
    ids = labels.class_ids(decode_mask(_bytes(path), path), rule)
    if rule != labels.IDS and (ids == labels.ILLEGAL).any():
        raise DataError(f"{path} holds values that are not classes: it changed since it was prepared, prepare it again")
    return ids


def decode_image(raw: bytes, path: str | Path) -> np.ndarray:
    """`read_image` for bytes; `path` is for messages."""
    if raw[:2] == b"\xff\xd8":
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(raw)
            if height * width <= 2 * Image.MAX_IMAGE_PIXELS:  # larger ones are left to Pillow, which refuses them
                return simplejpeg.decode_jpeg(raw, "RGB")
        except ValueError as error:
            # Pillow decides on CMYK and on surplus bytes, which other readers tolerate. But it fills missing pixels with
            # gray, so an image with a hole in the middle is refused here.
            if "premature end of data" in str(error) or "Huffman" in str(error):
                raise DataError(f"{path} is corrupt (pixels are missing: {error})") from None
    with _opened(raw, path) as image:
        if image.mode[0] in "IF":  # Pillow would clip everything above 255 and return a white image
            raise DataError(f"{path} has more than 8 bits per colour (mode {image.mode}): convert it to 8")
        return np.array(image.convert("RGB"))


def decode_mask(raw: bytes, path: str | Path) -> np.ndarray:
    """Stored values of a palette or gray PNG (not the palette's colours) or of a .mat file; `path` is for messages.

    A file that does not store class values is refused, even a JPEG named as a PNG: lossy compression changes the values.
    """
    if str(path).endswith(".mat"):
        return _decode_mat(raw, path)
    with _opened(raw, path) as image:
        if image.format != "PNG":
            raise DataError(
                f"{path} is not a mask of class ids: it is {image.format} whatever its name, make a PNG of the ids"
            )
        if image.mode not in ("P", "L", "1"):
            raise DataError(
                f"{path} is not a mask of class ids: it has mode {image.mode}, and not a palette or gray values of at most "
                "8 bits"
            )
        shown = np.array(image, dtype=np.uint8)
    header, bits, colours = raw[12:16], raw[24], raw[25]
    if header != b"IHDR":  # Pillow reads it nevertheless, but the bits per value are unknown
        raise DataError(f"{path} is corrupt (a PNG begins with its header, this one with {header!r})")
    # Pillow stretches grayscale (colour type 0) of 2 and 4 bits to 0 … 255 for display; the division undoes this.
    return shown // (255 // (2**bits - 1)) if colours == 0 and bits in (2, 4) else shown


def load_mat(raw: bytes, path: str | Path) -> dict:
    """Variables of a MATLAB file by name; `path` is for messages.

    Raises:
        DataError: it is damaged or not a MATLAB file.
    """
    from scipy.io import loadmat  # takes a third of a second, which most programs need not spend
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(io.BytesIO(raw))
    except (MatReadError, ValueError, TypeError, IndexError, OSError, EOFError, zlib.error, NotImplementedError) as error:
        raise DataError(f"{path} is corrupt or not a MATLAB file ({error})") from None


def _decode_mat(raw: bytes, path: str | Path) -> np.ndarray:
    """The mask in a .mat file: LabelMap in Pascal Context's, GTcls.Segmentation in SBD's."""
    tree = load_mat(raw, path)
    try:
        stored = tree["LabelMap"] if "LabelMap" in tree else tree["GTcls"][0, 0]["Segmentation"]
    except KeyError:
        raise DataError(f"{path} has neither LabelMap (Pascal Context) nor GTcls (SBD)") from None
    except (ValueError, TypeError, IndexError) as error:
        raise DataError(f"{path} is corrupt or not a MATLAB file of masks ({error})") from None
    whole = (
        stored.ndim == 2 and stored.dtype.kind in "uif" and bool((stored == np.trunc(stored)).all() and (stored >= 0).all())
    )
    if not whole:
        raise DataError(f"{path} is not a mask of class ids: it holds {stored.dtype} of shape {stored.shape}")
    return stored if stored.dtype == np.uint8 else np.minimum(stored, 65535).astype(np.uint16)  # MATLAB often stores doubles


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None


def _opened(raw: bytes, path: str | Path) -> Image.Image:
    """Open an image and load it in full: Pillow reads lazily, so only loading reveals a truncated file."""
    try:
        Image.open(io.BytesIO(raw)).verify()  # PNG checksums: decoding a corrupted PNG gives wrong pixels without an error
        image = Image.open(io.BytesIO(raw))
        image.load()
        return image
    except UnidentifiedImageError:
        raise DataError(f"{path} is corrupt or not an image") from None
    except Image.DecompressionBombError as error:
        said = str(error).partition(", could be")[0]  # keeps the pixel count and the limit, not the warning of an attack
        raise DataError(f"{path} is too large ({said}): scale it down, or cut it into several") from None
    except (OSError, SyntaxError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{path} is corrupt ({error})") from None
