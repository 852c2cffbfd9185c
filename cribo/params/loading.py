"""Turns the text of params.yaml into checked values, or reports every mistake in it at once."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cribo.params.checks.contradictions import contradictions
from cribo.params.data import Data
from cribo.params.errors import ParamsError, Problem, problems_of
from cribo.params.evaluate import LinearDecoding, SegmenterDecoding
from cribo.params.schema import Params, Trained, as_tuples
from cribo.params.yaml_lines import parse_yaml, read_text


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check a parameter file.

    Raises:
        ParamsError: one sentence per mistake, all mistakes at once: file and line, key, what is allowed.
    """
    return parse(read_text(Path(path)), Path(path))


def parse(text: str, path: Path, numbered: bool = True) -> Params:
    """`load` for a given text. Messages name `path` and, if the text is that of `path` itself (`numbered`), its lines."""
    tree, lines = parse_yaml(text, path)
    lines = lines if numbered else {}
    problems: list[Problem] = []
    try:
        params = Params.model_validate(as_tuples(tree), strict=True)
    except ValidationError as error:
        raise ParamsError(problems_of(error, Params, ()), path, lines) from None
    for name in params.models.trained:
        try:
            params.model(name)
        except ValidationError as error:
            problems += problems_of(error, Trained, ("models", "trained", name))
    for protocol in ("linear_segmentation", "segmenter"):
        block = getattr(params.evaluate, protocol)
        for name in block.datasets:
            try:
                block.on(name)
            except ValidationError as error:
                kind = LinearDecoding if protocol == "linear_segmentation" else SegmenterDecoding
                problems += problems_of(error, kind, ("evaluate", protocol, "datasets", name))
    problems = problems or list(contradictions(params))
    if problems:
        raise ParamsError(problems, path, lines)
    return params


def complete_data(settings: dict) -> dict:
    """An entry of `data` with every default filled in. Raises pydantic's ValidationError."""
    return TypeAdapter(Data).validate_python(as_tuples(settings), strict=True).model_dump(mode="json")
