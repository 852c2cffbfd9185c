"""`python -m cribo.replay`: a bundle that is not whole is one sentence with the file's name."""

from __future__ import annotations

import json

import pytest

from cribo import replay
from cribo.evaluate import computing, parser
from cribo.params import load
from cribo.plan import pretrain_settings

GIVEN = ["--weights", "w", "--protocol", "knn", "--dataset", "a=b"]


@pytest.fixture(scope="module")
def about():
    compute = computing(parser().parse_args(GIVEN)).model_dump(mode="json")
    settings = pretrain_settings(load("recipes/demo.yaml").model("cribo"))
    return {"step": 3, "values": {"loss": "nan"}, "processes": 1, "settings": settings, "compute": compute}


def test_what_a_training_wrote_is_read(tmp_path, about):
    (tmp_path / "about.json").write_text(json.dumps(about))
    told = replay.read_about(tmp_path)
    assert told["settings"] == about["settings"] and told["compute"].model_dump(mode="json") == about["compute"]


@pytest.mark.parametrize("key", ["step", "processes", "settings", "compute"])
def test_a_bundle_that_lacks_a_part_says_which(tmp_path, about, key):
    (tmp_path / "about.json").write_text(json.dumps({name: value for name, value in about.items() if name != key}))
    with pytest.raises(ValueError, match=rf"about\.json is damaged, or of another version \(it lacks '{key}'\): let the"):
        replay.main(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", r"\(Expecting property name .*\)"),
        (b"[1]", r"about\.json is damaged"),
        (b"\xe9", r"about\.json is damaged"),
        (b'{"settings": {"dataset": "a"}, "step": 1, "processes": 1, "compute": {}}', "settings lack seed"),
    ],
)
def test_a_damaged_bundle_is_one_sentence(tmp_path, content, says):
    (tmp_path / "about.json").write_bytes(content)
    with pytest.raises(ValueError, match=says) as error:
        replay.main(str(tmp_path))
    assert str(tmp_path / "about.json") in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"compute": {}}, r"\(compute\.device is missing\)"),
        ({"processes": 0}, r"\(step and processes should be 1 or more\)"),
        ({"settings": dict.fromkeys(replay.READ, "vit_small_16")}, r"another version \(settings.backbone is a name only\)"),
        ({"step": "3"}, r"\(step and processes should be 1 or more\)"),
    ],
)
def test_values_that_no_training_wrote_are_one_sentence(tmp_path, about, change, says):
    (tmp_path / "about.json").write_text(json.dumps(about | change))
    with pytest.raises(ValueError, match=says) as error:
        replay.read_about(tmp_path)
    assert len(str(error.value).splitlines()) == 1
