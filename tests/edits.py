"""Edits of a parameter file by key, as a person makes them in an editor."""

import re
from pathlib import Path

import pytest

from cribo import params
from cribo.params.yaml_lines import parse_yaml

DEMO = Path("recipes/demo.yaml").read_text()


def parse(text: str) -> params.Params:
    return params.parse(text, Path("params.yaml"))


def sentences(text: str) -> list[str]:
    """What is said of the mistakes in a text."""
    with pytest.raises(params.ParamsError) as error:
        parse(text)
    return str(error.value).splitlines()


def line_of(key: str, text: str = DEMO) -> int:
    """The line, counted from 1, on which a dotted key stands."""
    return parse_yaml(text, Path("demo"))[1][tuple(key.split("."))]


def edited(key: str, value: str, text: str = DEMO) -> str:
    """The text with another value for a dotted key; the rest of the line stays."""
    lines = text.splitlines(keepends=True)
    number, name = line_of(key, text) - 1, re.escape(key.rsplit(".", 1)[1])
    old = rf"(\b{name}: +)(\[[^\]]*\]|\{{[^}}]*\}}|\"[^\"]*\"|[^\s,}}]+)"
    lines[number], count = re.subn(old, lambda m: m[1] + value, lines[number], count=1)
    assert count == 1, lines[number]
    return "".join(lines)


def renamed(key: str, name: str, text: str = DEMO) -> str:
    """The text with the last part of a dotted key mistyped."""
    lines = text.splitlines(keepends=True)
    number = line_of(key, text) - 1
    lines[number] = lines[number].replace(f"{key.rsplit('.', 1)[1]}:", f"{name}:", 1)
    return "".join(lines)


def judging(protocol: str, datasets: str, text: str = DEMO) -> str:
    """The text with a protocol that judges the untrained model, and CrIBo, on data sets."""
    return edited(f"evaluate.{protocol}.datasets", datasets, edited(f"evaluate.{protocol}.models", "[random, cribo]", text))
