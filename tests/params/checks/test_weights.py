"""Lines of models.imported: each way to give weights has its keys, and a mistyped one says what was meant."""

from __future__ import annotations

import pytest

from tests.edits import DEMO, sentences


def with_line(line: str) -> str:
    return DEMO.replace("  imported:", f"  imported:\n    x: {line}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{weights: randm, backbone: vit_demo_8, image_size: 48, seed: 0}", "without backbone; did you mean random?"),
        ("{weights: dino_vits16_ink, seed: 0}", "without seed; did you mean dino_vits16_in1k?"),
    ],
)
def test_a_mistyped_name_of_ours_is_one_sentence_that_says_which_was_meant(line, says):
    (found,) = sentences(with_line(line))
    assert "models.imported.x.weights: '" in found and f"is not in the catalogue, and a name of timm goes {says}" in found


def test_a_name_like_none_of_ours_is_timms_and_each_key_too_many_is_said():
    said = "says nothing where weights are a name of timm: leave it out"
    found = sentences(with_line("{weights: resnet50.a1_in1k, image_size: 224, seed: 0}"))
    assert [line.partition("models.imported.x.")[2] for line in found] == [f"image_size: {said}", f"seed: {said}"]
