"""Runs every check."""

from __future__ import annotations

from collections.abc import Iterator

from cribo.params.checks import judging, names, photos, training, weights
from cribo.params.errors import Problem
from cribo.params.schema import Params


def contradictions(params: Params) -> Iterator[Problem]:
    """Every contradiction, each once, at a key that the file really has."""
    for checks in (names, photos, weights, judging, training):
        yield from checks.problems(params)
