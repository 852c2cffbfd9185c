"""Building blocks of every group of params.yaml: names, numbers with bounds, and groups that refuse unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*$")]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # torch accepts none larger
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


def _unbroken(text: str) -> str:
    text = text.removesuffix("\n")  # YAML's > and | end a text with one
    if text != "".join(text.splitlines()):
        raise ValueError("should be one line of text")
    return text


Line = Annotated[str, AfterValidator(_unbroken)]  # what a cell or the heading of a table shows


class Group(BaseModel):
    """A group of parameters: no unknown key, no infinity, no silent conversion (but an integer may stand for a float)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first value must not exceed the second, and {pair[0]} > {pair[1]}")
    return pair


class Span(Group):
    """Checks shared by every [low, high] pair."""

    @field_validator("crop_area", "crop_aspect", "blur_radius", "objects", "crop", mode="after", check_fields=False)
    @classmethod
    def _low_then_high(cls, pair: tuple[float, float]) -> tuple[float, float]:
        return ascending(pair)


def merged(base: dict, overlay: dict) -> dict:
    """`base` overlaid with the keys of `overlay`, group by group; lists are replaced as a whole."""
    out = dict(base)
    for key, value in overlay.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        out[key] = merged(base[key], value) if both else value
    return out


def flat(tree: dict, at: str = "") -> dict[str, object]:
    """The values of a nested tree, by dotted key."""
    found: dict[str, object] = {}
    for key, value in tree.items():
        here = f"{at}.{key}" if at else key
        if isinstance(value, dict):
            found |= flat(value, here)
        else:
            found[here] = value
    return found
