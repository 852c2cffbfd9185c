"""docs/extending.md keeps its word: what it names is there, and its skeletons run."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.nn.functional import normalize

from cribo import params
from cribo.data.preparation.prepare import prepare
from cribo.data.preparation.sets import SETS
from cribo.data.prepared.images import read_mask
from cribo.data.prepared.readers import PreparedSet, open_set
from cribo.evaluation.harness.result import Meter
from cribo.model.architectures import BackboneSpec
from cribo.model.encoder import Encoder
from cribo.model.networks.backbone import MEAN, STD, build_backbone, patch_size
from tests.data.preparation.trees import photo, png, values
from tests.tiny import tiny_vit
from tests.training.runs import ALONE

TEXT = Path("docs/extending.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
FILES = set(re.findall(r"`((?:cribo|docs|recipes|stages|tests|workflow)/[\w/]*\w+\.\w+)(?::(\w+))?`", TEXT))
YOURS = {"cribo/data/preparation/sets/MINE.py", "cribo/method/spread.py", "cribo/evaluation/MINE.py", "stages/MINE.py"}


def skeleton(name: str) -> SimpleNamespace:
    """The file that the page shows with this function in it."""
    (block,) = [block for block in BLOCKS if f"def {name}(" in block]
    made: dict = {}
    exec(block, made)
    return SimpleNamespace(**made)


def function(name: str) -> Callable:
    return getattr(skeleton(name), name)


def mine(tmp_path: Path, monkeypatch) -> PreparedSet:
    """Photos and masks as the page's listing wants them, prepared and opened; the kind `folder` stands for the new one."""
    for split, count in (("train", 3), ("val", 2)):
        for n in range(count):
            photo(tmp_path / f"in/photos/{split}/{n}.jpg", n)
            png(tmp_path / f"in/masks/{split}/{n}.png", values(n, (0, 1, 255)))
    monkeypatch.setitem(SETS, "folder", skeleton("listing"))
    prepare("mine", {"kind": "folder", "train": ".", "path": str(tmp_path / "in")}, tmp_path, workers=1)
    return open_set("mine", tmp_path, tmp_path / "in")


def test_every_file_and_every_name_in_it_that_the_page_speaks_of_is_there():
    assert len(FILES) > 40
    for file, name in FILES:
        if file not in YOURS:
            text = Path(file).read_text()
            assert not name or re.search(rf"^(?:class |def )?{name}\b", text, re.M), f"{file} has no {name}"


def test_every_test_that_the_page_speaks_of_is_there():
    tests = "\n".join(path.read_text() for path in Path("tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", TEXT)
    assert len(named) == 5 and not [name for name in named if f"def {name}(" not in tests]


def test_the_data_set_is_prepared_and_read(tmp_path, monkeypatch):
    data = mine(tmp_path, monkeypatch)
    assert (len(data.splits["train"]), len(data.splits["val"]), data.classes) == (3, 2, ("ground", "thing"))
    assert set(read_mask(data.splits["val"][0].mask).flatten().tolist()) == {0, 1, 255}


def test_the_loss_is_the_same_in_parts_and_leaves_an_image_itself_out():
    spread, everyone = function("spread"), normalize(torch.randn(2, 6, 4), dim=-1)
    nearest = (torch.cdist(everyone, everyone) + 9 * torch.eye(6)).amin(dim=2)
    torch.testing.assert_close(spread(everyone, everyone, 0), -nearest.log(), rtol=1e-3, atol=1e-3)
    parts = [spread(everyone[:, part], everyone, part.start) for part in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(torch.cat(parts, dim=1), spread(everyone, everyone, 0))


def test_the_backbone_is_built():
    (line,) = re.findall(r"`(BackboneSpec\(.*?\))`", TEXT)
    spec = eval(line, {"BackboneSpec": BackboneSpec})
    with torch.device("meta"):
        vit = build_backbone(spec, 32)
    assert patch_size(vit) == spec.patch_size and vit.num_prefix_tokens == 5


def test_the_protocol_judges_an_encoder(tmp_path, monkeypatch):
    encoder = Encoder(tiny_vit(), MEAN, STD, "tiny")
    compute, data = params.load("recipes/demo.yaml").compute, mine(tmp_path, monkeypatch)
    spec = {"iterations": 3, "seed": 0}
    tree = function("judge")(encoder, data, spec, compute, ALONE, Meter(ALONE.device, "fp32"))
    assert 0 < tree["value"] <= 100 and tree["protocol"].items() >= spec.items() and tree["dataset"] == "mine"
