"""Lines of models.imported: each way to give weights has its keys, and a mistyped one says what was meant."""

from __future__ import annotations

import pytest

from tests.edits import DEMO, parse, sentences


def with_line(line: str) -> str:
    return DEMO.replace("  imported:", f"  imported:\n    x: {line}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{weights: randm, backbone: vit_demo_8, image_size: 48, seed: 0}", "without backbone; did you mean random?"),
        ("{weights: dino_vits16_ink, seed: 0}", "without seed; did you mean dino_vits16_in1k?"),
        ("{weights: dino_vits16, seed: 0}", "without seed; did you mean dino_vits16_in1k?"),  # not dinov2_vits14
    ],
)
def test_a_mistyped_name_of_ours_is_one_sentence_that_says_which_was_meant(line, says):
    (found,) = sentences(with_line(line))
    assert "models.imported.x.weights: '" in found and f"is not in the catalogue, and a name of timm goes {says}" in found


def test_a_name_like_none_of_ours_is_timms_and_each_key_too_many_is_said():
    said = "says nothing where weights are a name of timm: leave it out"
    found = sentences(with_line("{weights: resnet50.a1_in1k, image_size: 224, seed: 0}"))
    assert [line.partition("models.imported.x.")[2] for line in found] == [f"image_size: {said}", f"seed: {said}"]


@pytest.mark.parametrize("ending", ["pth", "pt", "ckpt", "tar", "bin", "safetensors", "msgpack"])
def test_a_file_of_weights_is_known_by_its_ending_and_asked_for_its_format(ending):
    (found,) = sentences(with_line(f"{{weights: a.{ending}, backbone: vit_small_16}}"))
    assert found.endswith("models.imported.x: needs format, as weights are a file")
    parse(with_line(f"{{weights: a.{ending}, backbone: vit_small_16, format: timm}}"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("backbone", "vit_demo_8"), ("image_size", "48"), ("seed", "0"), ("mean", "[0, 0, 0]"), ("std", "[1, 1, 1]")],
)
def test_a_folder_says_all_of_its_weights_and_a_line_nothing_more(key, value):
    (found,) = sentences(with_line(f"{{weights: a/b, {key}: {value}}}"))
    assert found.endswith(f"models.imported.x.{key}: says nothing where weights are a folder: leave it out")


def test_random_weights_are_of_a_backbone_of_ours():
    (found,) = sentences(with_line("{weights: random, backbone: vit_dema_8, image_size: 49, seed: 0}"))
    assert "models.imported.x.backbone: 'vit_dema_8' is not allowed" in found and found.endswith("mean vit_demo_8?")
