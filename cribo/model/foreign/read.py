"""Reads a file of weights without running any code in it.

A .pth file is a pickle, and a pickle can call any Python function. torch's `weights_only` reader builds only tensors,
numbers, strings and containers. Two other types are allowed, since DINO's training and its descendants save them:
argparse's namespace (their arguments) and numpy's scalars (their learning rates). safetensors and flax's msgpack cannot
hold code.
"""

from __future__ import annotations

import argparse
import codecs
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cribo.model.encoder import EncoderError


def _number(kind: np.dtype, data: bytes = b"") -> float | int:
    """A numpy scalar as a Python number; old checkpoints keep the learning rate of a numpy schedule."""
    if kind.hasobject:
        raise pickle.UnpicklingError("an array of objects")
    return np.frombuffer(data, dtype=kind)[0].item()


ALLOWED = [
    argparse.Namespace,
    *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),  # before numpy 2, and since
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f8", "f4", "i8")),
]
ARRAYS = {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool"}
FLAX_ARRAY, FLAX_SCALAR = 1, 3  # msgpack extension types of flax.serialization


def read(path: str | Path) -> dict[str, Any]:
    """The tree of dictionaries, tensors and plain values in a file: safetensors, torch (zip or legacy), or flax's msgpack.

    Raises:
        EncoderError: the file is missing, damaged, of another kind, or would call a function when read.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(1024)
        if wrong := _no_weights(start):
            raise EncoderError(f"{path} {wrong}: fetch the file again, or correct its name")
        kind = _kind(start)
        tree = {"torch": _torch, "safetensors": load_file, "flax": _flax}[kind](path)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise EncoderError(f"{path} cannot be read: {error.strerror}") from None
    except pickle.UnpicklingError as error:
        raise EncoderError(_refusal(path, error)) from None
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,  # torch raises this and the next two for damaged pickles
        AssertionError,
        struct.error,
        msgpack.exceptions.UnpackException,
    ) as error:
        if isinstance(error, EncoderError):
            raise
        raise EncoderError(
            f"{path} is damaged or not a file of weights ({_first_sentence(error)}): fetch it again"
        ) from None
    if not isinstance(tree, dict):
        raise EncoderError(f"{path} holds a {type(tree).__name__}, not a dictionary of weights")
    return tree


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the error's type if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _first_sentence(error: Exception) -> str:
    """First sentence of an error; torch continues with advice to its own developers, or to read the file unsafely."""
    said = re.sub(r"^\[enforce fail at [^]]*\][ .]*", "", first_line(error))  # the place in torch's own code
    return re.split(r"\. +(?=[A-Z])", said)[0]


def _no_weights(start: bytes) -> str | None:
    """Why a file with these first bytes cannot be weights: it is empty, or text such as an error page or Git LFS pointer."""
    if not start:
        return "is empty"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # incremental, as the last letter may be cut off
    except UnicodeDecodeError:
        return None
    return "is text, not weights" if all(letter.isprintable() or letter.isspace() for letter in text) else None


def _kind(start: bytes) -> str:
    """Kind of a file by its first bytes, as names may mislead: zip or pickle, safetensors' JSON header, else msgpack."""
    if start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5")):
        return "torch"
    return "safetensors" if start[8:9] == b"{" else "flax"


def _torch(path: Path) -> Any:
    # Pass an open file: given a name, torch would go by its extension.
    with torch.serialization.safe_globals(ALLOWED), open(path, "rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _refusal(path: Path, error: Exception) -> str:
    """torch's page of advice, reduced to one sentence that names the function."""
    said = str(error)
    found = re.search(r"GLOBAL (\S+)", said) or re.search(
        r"(?:function|global|class)[ :]+(?:<[^>]*?)?([\w.]+\.[\w.]+)", said
    )
    if found:
        return f"{path} asks for {found[1]} to be called while it is read, and weights need nothing of the kind: not read"
    # The actual error follows the advice to read the file unsafely.
    wrong = re.search(r"WeightsUnpickler error:\s*(.+)", said)
    why = wrong[1].strip() if wrong else _first_sentence(error)
    return f"{path} is damaged or holds more than tensors and plain values ({why}): not read"


def _flax(path: Path) -> Any:
    return msgpack.unpackb(path.read_bytes(), ext_hook=_extension, strict_map_key=False)


def _extension(code: int, data: bytes) -> torch.Tensor:
    """Tensor from flax's (shape, type, bytes); types from which numpy would build Python objects are refused."""
    if code not in (FLAX_ARRAY, FLAX_SCALAR):
        raise ValueError(f"msgpack extension {code} is not flax's")
    shape, kind, content = msgpack.unpackb(data, raw=True)
    kind = kind.decode()
    if kind not in ARRAYS:
        raise ValueError(f"an array of {kind}")
    array = np.frombuffer(content, dtype=kind).reshape(shape)
    return torch.from_numpy(array.copy())
