"""From the values that a mask stores to class ids, by the rule of its data set.

Everything after `read_mask` sees class ids only: 0 … classes − 1, and 255 for void, which losses and scores ignore. A rule
is a table with one byte per stored value, its class id; the last byte stands for all larger values. Each data set's file in
`sets/` defines its rules, and the manifest of a prepared set records them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer, UInt8

VOID = 255
ILLEGAL = 254  # no data set has this many classes


def rule(ids: Mapping[int, int], size: int = 257) -> bytes:
    """The rule that maps each value in `ids` (all below `size`) to its class id or VOID; all other values are illegal."""
    table = bytearray([ILLEGAL]) * size
    for value, number in ids.items():
        table[value] = number
    return bytes(table)


IDS = rule({value: value for value in range(256)})  # the stored values are class ids


def rule_of(rules: Mapping[str, bytes], mask: str) -> bytes:
    """The rule for a mask file of a data set; `rules` is keyed by file suffix, and IDS is the default."""
    return rules.get(os.path.splitext(mask)[1], IDS)


def class_ids(stored: Integer[np.ndarray, "*shape"], rule: bytes) -> UInt8[np.ndarray, "*shape"]:
    """Class ids of stored values: VOID for void, ILLEGAL for values that the rule does not cover."""
    if rule == IDS and stored.dtype == np.uint8:
        return stored
    return np.take(np.frombuffer(rule, np.uint8), stored, mode="clip")


def illegal(values: Integer[np.ndarray, " n"], rule: bytes, classes: int) -> list[int]:
    """Those of the stored values that are neither void nor one of the first `classes` classes."""
    ids = class_ids(values, rule)
    return values[(ids >= classes) & (ids != VOID)].tolist()


def legal(rule: bytes, classes: int) -> str:
    """The legal values as a person writes them: "0-20, 255"."""
    table = np.frombuffer(rule, np.uint8)
    good = np.flatnonzero((table < classes) | (table == VOID))
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
