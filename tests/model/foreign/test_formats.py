"""Every published form loads to the very weights that were put into it, and every key that does not fit is named."""

from functools import cache
from pathlib import Path

import pytest
import timm
import torch

from cribo.model.encoder import EncoderError, fill
from cribo.model.foreign.convert import weights_of
from cribo.model.foreign.formats import FORMATS
from cribo.model.foreign.load import load
from cribo.model.foreign.read import read
from cribo.model.networks.backbone import tokens
from tests.model.foreign import published

# Loading into networks without storage is what these tests mean to do.
pytestmark = pytest.mark.filterwarnings("ignore:.*to a meta parameter in the current model")

EDITED = {"resnet50": "layer4.2.conv3.weight", "vit": "blocks.11.mlp.fc1.weight"}


def matrix(form):
    return EDITED["resnet50" if published.FILES[form][1] == "resnet50" else "vit"]


def entry(tree, path):
    for step in path:
        tree = tree[step]
    return tree


@cache
def on_meta(architecture, **args):
    """A network that judges names and shapes and computes nothing."""
    with torch.device("meta"):
        return timm.create_model(architecture, num_classes=0, **args)


def loaded(form, tree, path=Path("file.pth")):
    """The weights of a file's tree, strictly in their network."""
    found, architecture = weights_of(tree, form, path), published.FILES[form][1]
    fill(on_meta(architecture), found, path, architecture)
    return found


def test_every_format_has_a_file_here():
    assert published.FILES.keys() | {"loca"} == FORMATS.keys()


@pytest.mark.parametrize("form", list(published.FILES))
def test_the_weights_of_a_published_file_arrive_under_timms_names(form, tmp_path):
    make, architecture, _, _ = published.FILES[form]
    torch.save(make(), tmp_path / "file.pth")
    found, expected = loaded(form, read(tmp_path / "file.pth")), published.weights(architecture)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        moved = 0.5 if (form, key) == ("dinov2", "cls_token") else 0  # where there are registers, position is added to it
        assert torch.equal(found[key], value + moved), key


@pytest.mark.parametrize("form", [form for form in published.FILES if form != "slotcon"])  # whose own names begin so
def test_what_ddp_puts_before_every_name_is_left_out_and_before_some_is_not(form):
    make, architecture, path, prefix = published.FILES[form]
    wrapped = published.under("module.", entry(make(), path))
    tree = {path[0]: wrapped} if path else wrapped
    assert loaded(form, tree).keys() == published.weights(architecture).keys()
    wrapped[prefix + matrix(form)] = wrapped.pop(f"module.{prefix}{matrix(form)}")
    with pytest.raises(EncoderError, match=r"lacks|surplus module\."):
        loaded(form, tree)


def surplus(weights, prefix, key):
    weights[f"{prefix}blocks.12.norm1.weight"] = torch.zeros(384)


def missing(weights, prefix, key):
    del weights[prefix + key]


def transposed(weights, prefix, key):
    weights[prefix + key] = weights[prefix + key].transpose(0, 1)


def cut(weights, prefix, key):
    weights[prefix + key] = weights[prefix + key][:-1]


@pytest.mark.parametrize("form", list(published.FILES))
@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (missing, r"it lacks {key}$"),
        (surplus, r"surplus blocks\.12\.norm1\.weight"),
        (transposed, r"misshapes {key} \("),
        (cut, r"misshapes {key} \("),
    ],
)
def test_a_key_that_does_not_fit_is_named(form, edit, says):
    make, _, path, prefix = published.FILES[form]
    tree, key = make(), matrix(form)
    edit(entry(tree, path), prefix, key)
    with pytest.raises(EncoderError, match=says.format(key=key.replace(".", r"\."))) as error:
        loaded(form, tree)
    assert "file.pth" in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(("form", "entry_name"), [("teacher", "teacher"), ("mae", "model"), ("orl", "state_dict")])
def test_a_file_of_another_format_says_what_it_lacks(form, entry_name):
    with pytest.raises(EncoderError, match=f"has no entry {entry_name}, which the format {form} has"):
        loaded(form, {"cls_token": torch.zeros(1)})


def test_a_key_of_no_known_part_is_named():
    tree = published.checkpoint()
    tree["teacher"]["neck.weight"] = torch.zeros(1)
    with pytest.raises(EncoderError, match=r"surplus neck\.weight, which belongs to no part that the format teacher knows"):
        loaded("teacher", tree)


# ---------------------------------------------------------------------------------------------------------------- LOCA
def as_tensors(tree):
    return {k: as_tensors(v) if isinstance(v, dict) else torch.from_numpy(v.copy()) for k, v in tree.items()}


def flax_file(tree, tmp_path):
    path = tmp_path / "loca_vsmall_imnet1k"
    published.write_flax(tree, path)
    return path


def test_loca_gives_the_features_of_the_network_that_was_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_WEIGHTS", str(tmp_path))
    flax_file(published.loca(), tmp_path)
    found = load({**published.NOTHING, "weights": "loca_vits16_in1k"})
    expected = published.weights(published.VIT, **published.LOCA)
    assert found.net.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in found.net.state_dict().items())
    assert isinstance(found.net.norm, torch.nn.LayerNorm) and found.args["act_layer"] == "gelu_tanh"
    whole, patches = tokens(found.net, torch.zeros(1, 3, 32, 48))
    torch.testing.assert_close(whole, patches.mean(1))  # no CLS token


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda p: p["encoderblock_3"]["LayerNorm_0"].pop("scale"), r"lacks blocks\.3\.norm1\.weight$"),
        (lambda p: p["encoderblock_3"]["MultiHeadDotProductAttention_0"].pop("key"), r"lacks blocks\.3\.attn\.qkv\.bias"),
        (lambda p: p.update(more={"bias": p["encoder_norm"]["bias"]}), "surplus more/bias$"),
        (
            lambda p: p["encoderblock_3"]["MlpBlock_0"]["Dense_0"].update(
                kernel=p["encoderblock_3"]["MlpBlock_0"]["Dense_0"]["kernel"].T
            ),
            r"misshapes blocks\.3\.mlp\.fc1\.weight",
        ),
    ],
)
def test_a_key_of_loca_that_does_not_fit_is_named(edit, says):
    tree = published.loca()
    edit(tree["params"])
    tensors = {"params": as_tensors(tree["params"])}
    with pytest.raises(EncoderError, match=says):
        net = on_meta(published.VIT, **published.LOCA)
        fill(net, weights_of(tensors, "loca", Path("loca")), Path("loca"), published.VIT)


@pytest.mark.parametrize(
    ("form", "tree", "says"),
    [
        ("timm", {"head.bias": 3, "norm.weight": "text"}, "holds a str as norm.weight, where the format timm has a tensor"),
        ("loca", {"params": {"a": {"b": 3}}}, "holds a int as a/b, where a tensor should be"),
    ],
)
def test_what_is_no_tensor_is_named_where_a_weight_should_be(form, tree, says):
    with pytest.raises(EncoderError, match=f"^file.pth {says}$"):
        weights_of(tree, form, Path("file.pth"))
