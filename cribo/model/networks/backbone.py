"""The vision transformers that can be pretrained, all built by timm."""

from __future__ import annotations

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from cribo.model.architectures import BackboneSpec

# Statistics of ImageNet's RGB in [0, 1]: they normalise the input of every backbone, in training and in its export.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def model_args(spec: BackboneSpec, image_size: int) -> dict:
    """Arguments of `timm.create_model` for this backbone at this training size (pixels); an export stores them."""
    return {**spec.args, "img_size": image_size, "dynamic_img_size": True}


def build_backbone(spec: BackboneSpec, image_size: int, drop_path: float = 0.0) -> nn.Module:
    """A randomly initialised ViT without classifier: pre-norm, LayerNorm ε 1e-6, learned positions, CLS if timm adds one.

    Initialisation is DINO's: truncated normal of std 0.02 for linear layers, positions and CLS token; zero biases.
    """
    args = model_args(spec, image_size)
    vit = timm.create_model(spec.architecture, num_classes=0, drop_path_rate=drop_path, **args)
    if has_cls(vit):
        nn.init.trunc_normal_(vit.cls_token, std=0.02)  # timm draws it with std 1e-6
    return vit


def tokens(net: nn.Module, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B N d"]]:
    """One vector for the image and one for each patch (row by row), from the last block after the final norm.

    The image's vector is the CLS token, or the mean of the patches if there is none. In a convolutional network, the
    positions of the last stage's map serve as patches. Registers are left out.
    """
    out = net.forward_features(images)
    if out.ndim == 4:
        patches = out.flatten(2).transpose(1, 2)
        return patches.mean(dim=1), patches
    if norm_comes_late(net):
        out = net.fc_norm(out)
    patches = out[:, net.num_prefix_tokens :]
    return out[:, 0] if has_cls(net) else patches.mean(dim=1), patches


def norm_comes_late(net: nn.Module) -> bool:
    """Whether timm pools the tokens first and applies the trained final norm to the pooled feature."""
    return isinstance(getattr(net, "norm", None), nn.Identity) and isinstance(getattr(net, "fc_norm", None), nn.LayerNorm)


def is_vit(net: nn.Module) -> bool:
    """Whether a network's features are tokens; otherwise they are a map of channels."""
    return hasattr(net, "num_prefix_tokens")


def has_cls(net: nn.Module) -> bool:
    """Whether the first token stands for the whole image."""
    return getattr(net, "cls_token", None) is not None


def patch_size(net: nn.Module) -> int:
    """Side of a patch in pixels; for a convolutional network, the stride of its last stage."""
    embed = getattr(net, "patch_embed", None)
    return embed.patch_size[0] if is_vit(net) and embed is not None else net.feature_info[-1]["reduction"]


def seeded_backbone(spec: BackboneSpec, image_size: int, seed: int, drop_path: float = 0.0) -> nn.Module:
    """`build_backbone` from a seed, leaving the global random state unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_backbone(spec, image_size, drop_path)


def resampled(positions: Float[Tensor, "1 T d"], old: tuple[int, int], new: tuple[int, int]) -> Float[Tensor, "1 U d"]:
    """Position embeddings resampled to another patch grid by plain bicubic interpolation; those before it (CLS) stay."""
    if old == new:
        return positions
    first = positions.shape[1] - old[0] * old[1]
    patches = positions[:, first:].unflatten(1, old).permute(0, 3, 1, 2)
    patches = nn.functional.interpolate(patches, size=new, mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :first], patches.flatten(2).transpose(1, 2)], dim=1)
