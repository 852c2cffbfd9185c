"""Loads foreign weights strictly into a timm network: by hub name, from a published file, or from your file or folder."""

from __future__ import annotations

import hashlib
import os
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from cribo.command import did_you_mean
from cribo.model.architectures import BACKBONES, BackboneSpec
from cribo.model.encoder import EncoderError, fill, read_config
from cribo.model.foreign.catalogue import CATALOGUE, Published
from cribo.model.foreign.convert import weights_of
from cribo.model.foreign.formats import FORMATS
from cribo.model.foreign.read import first_line, read
from cribo.model.networks.backbone import MEAN, STD, model_args, patch_size, seeded_backbone, tokens

FILES = ("model.safetensors", "pytorch_model.bin")  # names of the weights file in a timm folder
FOLDER = "CRIBO_WEIGHTS"  # environment variable: the folder of published files, `weights` if not set


@dataclass(frozen=True)
class Foreign:
    """A network with its weights, the arguments with which timm builds it again, and the weights' origin in words."""

    net: nn.Module
    architecture: str
    args: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    @property
    def image_size(self) -> int:
        """Side in px of the images for which its position embedding was made; 224 if it has none."""
        embed = getattr(self.net, "patch_embed", None)
        side = getattr(embed, "img_size", None)
        return side[0] if side else 224


def load(settings: dict) -> Foreign:
    """The network that `results/plan/import/NAME.yaml` describes.

    Raises:
        EncoderError: the file is missing, unsafe or damaged; a weight is missing, surplus or of another shape; or the
            network has no feature map.
    """
    weights = settings["weights"]
    if weights == "random":
        spec, side = BackboneSpec(**settings["ours"]), settings["image_size"]
        net = seeded_backbone(spec, side, settings["seed"])
        source = f"not trained: drawn with seed {settings['seed']}"
        return Foreign(net.eval(), spec.architecture, model_args(spec, side), MEAN, STD, source)
    if weights in CATALOGUE:
        return _published(weights, CATALOGUE[weights], settings)
    if Path(weights).is_dir():
        return _folder(Path(weights), settings)
    if settings["format"] is not None:
        return _own_file(Path(weights), settings)
    if Path(weights).is_file():
        raise EncoderError(f"{weights} is a file: say its `format` ({', '.join(FORMATS)}) and its `backbone`, too")
    if weights.startswith(("/", ".", "~")):
        spelt = ": write the path without ~" if weights.startswith("~") else ": correct the path"
        raise EncoderError(f"{weights}: no such file or folder{spelt}")
    return _hub(weights, settings)


def _published(name: str, about: Published, settings: dict) -> Foreign:
    path = Path(os.environ.get(FOLDER, "weights")) / about.file
    if not path.is_file():
        raise EncoderError(
            f"{path} is missing: put the file from {about.url} there (licence: {about.licence}), for models.imported "
            f"`weights: {name}`; the environment variable {FOLDER} names another folder"
        )
    if about.sha256 is not None and (found := sha256(path)) != about.sha256:
        raise EncoderError(f"{path} has the sha256 {found}, and {about.url} publishes {about.sha256}: fetch it again")
    net, args = _build(about.architecture, about.args, settings)
    fill(net, weights_of(read(path), about.format, path), path, about.architecture)
    return Foreign(_checked(net, name), about.architecture, args, MEAN, STD, f"{name} from {about.url}, {_digest(path)}")


def _own_file(path: Path, settings: dict) -> Foreign:
    name = settings["backbone"]
    ours = settings["ours"]
    architecture, more = (ours["architecture"], ours["args"]) if ours else (name, {})
    if settings["image_size"] is not None:
        more = {**more, "img_size": settings["image_size"]}
    net, args = _build(architecture, more, settings)
    tree, form = read(path), settings["format"]
    try:
        weights = weights_of(tree, form, path)
        fill(net, _without_classifier(net, weights) if form == "timm" else weights, path, name)
    except EncoderError as error:
        raise EncoderError(f"{error}{_another_format(net, tree, form, path)}") from None
    mean, std = _statistics(settings)
    return Foreign(_checked(net, str(path)), architecture.partition(".")[0], args, mean, std, f"{path}, {_digest(path)}")


def _another_format(net: nn.Module, tree: dict, asked: str, path: Path) -> str:
    """The end of a message: the formats in which the file would fit this network, if all of them read the same entry."""
    wanted = _shapes(net.state_dict())
    fitting = []
    for form in FORMATS:
        # A conversion may fail in any of these ways on a file of another format, which then does not fit.
        with suppress(LookupError, RuntimeError, TypeError, ValueError, AttributeError):
            if _shapes(weights_of(tree, form, path)) == wanted:
                fitting.append(form)
    if asked in fitting or len({FORMATS[form].entry for form in fitting}) != 1:
        return ""
    return f"; it fits in the format {' or '.join(fitting)}"


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in weights.items() if not key.endswith(".num_batches_tracked")}


def _folder(path: Path, settings: dict) -> Foreign:
    """Load our own export or a folder by timm's save_for_hf: with or without classifier, for fixed or any image size."""
    config = read_config(path)
    card, own = config["pretrained_cfg"], dict(config.get("model_args") or {})
    for key in ("num_classes", "dynamic_img_size"):  # _build decides these
        own.pop(key, None)
    if card.get("fixed_input_size") and "input_size" in card:
        own.setdefault("img_size", card["input_size"][-1])  # as timm does
    file = next((path / name for name in FILES if (path / name).is_file()), path / FILES[0])
    net, args = _build(config["architecture"], own, settings)
    fill(net, _without_classifier(net, weights_of(read(file), "timm", file)), file, "its config.json")
    mean, std = tuple(card["mean"]), tuple(card["std"])
    return Foreign(_checked(net, str(path)), config["architecture"], args, mean, std, str(path))


def _statistics(settings: dict) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation from the settings, else from the timm weights that `backbone` names by tag, else ImageNet's."""
    name = settings["backbone"]
    card = timm.get_pretrained_cfg(name) if "." in name else None
    known = (card.mean, card.std) if card else (MEAN, STD)
    mean, std = (tuple(settings[key] or other) for key, other in zip(("mean", "std"), known, strict=True))
    return mean, std


def _hub(name: str, settings: dict) -> Foreign:
    architecture = name.partition(".")[0]
    known = [*CATALOGUE, *timm.list_models(pretrained=True)]
    if name not in known and name not in timm.list_models():  # names from list_models() have no tag
        hint = did_you_mean(name, ("random", *known))
        raise EncoderError(f"{name} is not a file, a folder, a name in the catalogue or a model of timm{hint}")
    net, args = _build(name, {}, settings)
    try:
        full = timm.create_model(name, pretrained=True, **args)  # timm loads strictly if the classifier is kept
    except Exception as error:  # huggingface_hub has its own errors for hub, network and disk; the message quotes them
        if "loading state_dict" in str(error):
            said = textwrap.shorten(" ".join(str(error).split()), 300)
            raise EncoderError(
                f"the hub's weights of {name} do not fit timm {timm.__version__}'s network: {said}"
            ) from error
        raise EncoderError(
            f"timm cannot get {name} ({first_line(error)}): without a network, fetch config.json and model.safetensors from "
            f"https://huggingface.co/timm/{name} elsewhere into a folder, and give the folder in place of the name"
        ) from error
    statistics = full.pretrained_cfg
    fill(net, _without_classifier(net, full.state_dict()), Path(name), architecture)
    source = f"{name}, timm's hub; licence: {statistics.get('license') or 'not stated'}"
    return Foreign(_checked(net, name), architecture, args, statistics["mean"], statistics["std"], source)


def _without_classifier(net: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights, except those that `net`, built without a classifier, lacks in the part that timm's card calls one."""
    named, kept = net.pretrained_cfg.get("classifier") or (), net.state_dict().keys()
    parts = {layer.partition(".")[0] for layer in ((named,) if isinstance(named, str) else named)}
    return {key: value for key, value in weights.items() if key in kept or key.partition(".")[0] not in parts}


def _build(architecture: str, more: dict, settings: dict) -> tuple[nn.Module, dict]:
    """An untrained network that takes images of any size, and the arguments that make it so."""
    stride = {} if settings["stride"] is None else {"output_stride": settings["stride"]}
    for args in ({**more, "dynamic_img_size": True, **stride}, {**more, **stride}):
        try:
            net = timm.create_model(architecture, pretrained=False, num_classes=0, **args)
            side = getattr(getattr(net, "patch_embed", None), "img_size", None)
            # timm takes this size from its own card of the architecture, which an export lacks.
            return net, {**args, "img_size": side[0]} if side else args
        except TypeError as error:
            fault = error
        except (RuntimeError, ValueError, AssertionError) as error:
            if not timm.is_model(architecture):
                hint = did_you_mean(architecture.partition(".")[0], [*BACKBONES, *timm.list_models()])
                raise EncoderError(f"{architecture} is not one of our backbones or a model of timm{hint}") from None
            raise EncoderError(f"timm cannot build {architecture} with {args}: {error}") from error
    raise EncoderError(f"timm cannot build {architecture} with {more | stride}: {fault}") from fault


def _checked(net: nn.Module, name: str) -> nn.Module:
    """The network in evaluation mode. Raises EncoderError unless it maps images of any size to one vector per patch."""
    net.eval()
    try:
        p = patch_size(net)
        with torch.inference_mode():
            shape = tokens(net, torch.zeros(1, 3, 4 * p, 6 * p))[1].shape
    except (AttributeError, AssertionError, RuntimeError, IndexError, KeyError, TypeError) as error:
        raise EncoderError(f"{name} gives no map of features for images of any size ({error})") from error
    if tuple(shape) != (1, 24, net.num_features):
        raise EncoderError(f"{name} gives no map of features: {list(shape)} for 4 × 6 patches of {p} px")
    return net


def sha256(path: Path) -> str:
    """The sha256 of a file as hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path) -> str:
    return f"sha256 {sha256(path)}"
