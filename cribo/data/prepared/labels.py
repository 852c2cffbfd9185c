"""From the values that a mask stores to class ids, by the rule of its data set.

Everything after `read_mask` sees class ids only: 0 … classes − 1, and 255 for void, which has no part in losses and scores.
A rule holds the class id of each stored value, a byte each; the last one stands for all larger values. The rules themselves
stand beside what the sets list (`sets/`) and travel in a prepared set's manifest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer, UInt8

VOID = 255
ILLEGAL = 254  # no data set has so many classes


def rule(ids: Mapping[int, int], size: int = 257) -> bytes:
    """The rule that gives each of some values below `size` a class id, or VOID; all others are no class."""
    table = bytearray([ILLEGAL]) * size
    for value, number in ids.items():
        table[value] = number
    return bytes(table)


IDS = rule({value: value for value in range(256)})  # class ids as they are


def rule_of(rules: Mapping[str, bytes], mask: str) -> bytes:
    """The rule for a mask file of a data set; `rules` by the suffix of a file's name."""
    return rules.get(os.path.splitext(mask)[1], IDS)


def class_ids(stored: Integer[np.ndarray, "*shape"], rule: bytes) -> UInt8[np.ndarray, "*shape"]:
    """Class ids of stored values: VOID where nothing counts, ILLEGAL where the rule knows no such value."""
    if rule == IDS and stored.dtype == np.uint8:
        return stored
    return np.take(np.frombuffer(rule, np.uint8), stored, mode="clip")


def illegal(values: Integer[np.ndarray, " n"], rule: bytes, classes: int) -> list[int]:
    """Those of some stored values that are neither one of the first `classes` classes nor void."""
    ids = class_ids(values, rule)
    return values[(ids >= classes) & (ids != VOID)].tolist()


def legal(rule: bytes, classes: int) -> str:
    """The legal values as a person writes them: "0-20, 255"."""
    table = np.frombuffer(rule, np.uint8)
    good = np.flatnonzero((table < classes) | (table == VOID))
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
