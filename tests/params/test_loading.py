"""From text to values: overlays are checked each by its own schema, and all that is wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cribo import params
from tests.edits import DEMO, edited, judging, sentences


@pytest.mark.parametrize(
    ("protocol", "key", "meant"),
    [("segmenter", "decoder_layer", "decoder_layers"), ("linear_segmentation", "layer_nrm", "layer_norm")],
)
def test_an_overlay_of_a_decoder_knows_the_settings_of_its_own_protocol(protocol, key, meant):
    (found,) = sentences(judging(protocol, f"{{scenes: {{{key}: 2}}}}"))
    assert f"evaluate.{protocol}.datasets.scenes.{key}: is not a parameter" in found and found.endswith(f"mean {meant}?")
    other = {"decoder_layers": "layer_norm", "layer_norm": "decoder_layers"}[meant]
    assert other not in found


def test_mistakes_in_every_overlay_are_said_together():
    text = edited("models.trained.cribo", "{dataset: scenes, seeed: 1}")
    text = edited("models.trained.global", "{dataset: scenes, head: {hidden: 0}}", text)
    text = judging("segmenter", "{scenes: {crop: 15}}", text)
    found = sentences(judging("linear_segmentation", "{scenes: {window: 15}}", text))
    said = ["trained.global.head.hidden", "trained.cribo.seeed", "scenes.window", "scenes.crop"]
    assert len(found) == 4 and all(f"{key}: " in sentence for key, sentence in zip(said, found, strict=True))


def test_what_no_file_holds_is_named_without_a_line():
    wrong = edited("pretrain.views.size", "8")
    for numbered in (True, False):
        with pytest.raises(params.ParamsError) as error:
            params.parse(wrong, Path("made"), numbered)
        assert str(error.value).startswith("made: pretrain.views.size") != numbered


def test_no_model_at_all_is_refused():
    (found,) = sentences(edited("evaluate.models", "[]"))
    assert "evaluate.models: is an empty list: it needs at least 1 value" in found


def test_a_data_set_is_given_with_every_default_filled_in():
    scenes = params.parse(DEMO, Path("demo")).data["scenes"].model_dump(mode="json")
    photos = params.complete_data({"kind": "coco", "path": "/photos"})
    assert photos["path"] == "/photos" and photos.keys() > {"kind", "path"}
    assert params.complete_data(scenes) == scenes
