"""YOLOS (Fang et al., 2021) from transformers, with the weights of one of our encoders."""

from __future__ import annotations

import torch
from jaxtyping import Float
from timm.layers import LayerScale
from torch import Tensor, nn
from transformers import YolosConfig, YolosForObjectDetection

from cribo.evaluation.harness.errors import EvaluationError
from cribo.model.encoder import Encoder
from cribo.model.networks.backbone import resampled

SCALED = {"ls1": "attention.output", "ls2": "output"}  # layer scale → the module whose `dense` output it scales
STD = 0.02  # of detection tokens, their positions and the positions between blocks; the heads use torch's initialisation


def build_yolos(
    encoder: Encoder, grid_px: tuple[int, int], tokens: int, categories: int, seed: int
) -> YolosForObjectDetection:
    """Build the detector before finetuning: the encoder's weights, everything else drawn from `seed`.

    YOLOS has no layer scale, so the encoder's stays a module after its linear layer and is finetuned. Multiplied into the
    weights, it would make them so small (1e-2 and less) that AdamW's steps, of one length for all, would overwrite them.

    Args:
        grid_px: height and width, px, that the position embeddings are resampled to (bicubic); resized again for each photo.
        tokens: number of detection tokens.
        categories: largest category id plus one; one extra logit stands for "no object".

    Raises:
        EvaluationError: the grid is not a multiple of the patch, or the encoder has a part that YOLOS lacks, or lacks one
            that YOLOS has.
    """
    vit = encoder.net
    if any(side % encoder.patch_size for side in grid_px):
        raise EvaluationError(
            f"a grid of {grid_px[0]} × {grid_px[1]} px is not a multiple of {encoder.patch_size} px patches"
        )
    _refuse_others(vit, encoder.name)
    block = vit.blocks[0]
    config = YolosConfig(
        hidden_size=encoder.width,
        num_hidden_layers=len(vit.blocks),
        num_attention_heads=block.attn.num_heads,
        intermediate_size=block.mlp.fc1.out_features,
        layer_norm_eps=block.norm1.eps,
        image_size=list(grid_px),
        patch_size=encoder.patch_size,
        num_detection_tokens=tokens,
        num_labels=categories,
        use_mid_position_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = YolosForObjectDetection(config)
        embeddings, middle = model.vit.embeddings, model.vit.encoder.interpolation.mid_position_embeddings
        for drawn in (embeddings.detection_tokens, embeddings.position_embeddings, middle):
            nn.init.trunc_normal_(drawn, std=STD)
        for layer in (*model.class_labels_classifier.layers, *model.bbox_predictor.layers):
            layer.reset_parameters()  # transformers' own std 0.02 starts all boxes in one place, which they leave slowly
    _insert_scales(model, vit)
    model.load_state_dict(model.state_dict() | _renamed(vit), strict=True)
    with torch.no_grad():
        grid = tuple(side // encoder.patch_size for side in grid_px)
        embeddings.position_embeddings[:, :-tokens] = resampled(vit.pos_embed, vit.patch_embed.grid_size, grid)
    return model


def predict(
    model: YolosForObjectDetection, images: Float[Tensor, "B 3 H W"], bf16: bool = False
) -> tuple[Float[Tensor, "B T C"], Float[Tensor, "B T 4"]]:
    """Return logits and boxes (centre and size, shares of the photo) of each detection token; `bf16`: for the ViT alone."""
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16):
        states = model.vit(images).last_hidden_state
    states = states[:, -model.config.num_detection_tokens :].float()
    return model.class_labels_classifier(states), model.bbox_predictor(states).sigmoid()


def _refuse_others(vit: nn.Module, name: str) -> None:
    known = ("cls_token", "pos_embed", "patch_embed.proj.", "norm.")
    parts = ("norm1.", "norm2.", "attn.qkv.", "attn.proj.", "mlp.fc1.", "mlp.fc2.", "ls1.gamma", "ls2.gamma")
    for key in vit.state_dict():
        inside = key.split(".", 2)[2] if key.startswith("blocks.") else None
        if not (inside.startswith(parts) if inside is not None else key.startswith(known)):
            raise EvaluationError(f"{name} has the weight {key}, for which YOLOS has no place: a plain ViT is needed")
    if vit.num_prefix_tokens != 1:
        raise EvaluationError(f"{name} has {vit.num_prefix_tokens} tokens before its patches, and YOLOS needs CLS alone")
    if vit.pos_embed.shape[1] != 1 + vit.patch_embed.num_patches:
        raise EvaluationError(f"{name} has no position embedding of its CLS token, which YOLOS has")
    block = vit.blocks[0]
    if any(layer.bias is None for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2)):
        raise EvaluationError(f"{name} has linear layers without biases, and YOLOS has one in each")
    if not isinstance(block.mlp.act, nn.GELU) or block.mlp.act.approximate != "none":
        raise EvaluationError(f"the activation of {name} is {block.mlp.act}, that of YOLOS the exact GELU")


def _insert_scales(model: YolosForObjectDetection, vit: nn.Module) -> None:
    for block, layer in zip(vit.blocks, model.vit.encoder.layer, strict=True):
        for name, place in SCALED.items():
            if isinstance(scale := getattr(block, name), LayerScale):
                output = layer.get_submodule(place)
                output.dense = nn.Sequential(output.dense, LayerScale(len(scale.gamma)))


def _renamed(vit: nn.Module) -> dict[str, Tensor]:
    """Return timm's weights under transformers' names; `build_yolos` handles the positions."""
    own = vit.state_dict()
    out = {
        "vit.embeddings.cls_token": own["cls_token"],
        "vit.embeddings.patch_embeddings.projection.weight": own["patch_embed.proj.weight"],
        "vit.embeddings.patch_embeddings.projection.bias": own["patch_embed.proj.bias"],
        "vit.layernorm.weight": own["norm.weight"],
        "vit.layernorm.bias": own["norm.bias"],
    }
    places = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    for n in range(len(vit.blocks)):
        old, new = f"blocks.{n}", f"vit.encoder.layer.{n}"
        moved = {}
        for scale, place in SCALED.items():
            if (gamma := own.get(f"{old}.{scale}.gamma")) is not None:
                out[f"{new}.{place}.dense.1.gamma"] = gamma
                moved[f"{place}.dense"] = f"{place}.dense.0"
        for part in ("weight", "bias"):
            for name, place in places.items():
                out[f"{new}.{moved.get(place, place)}.{part}"] = own[f"{old}.{name}.{part}"]
            joint = own[f"{old}.attn.qkv.{part}"].chunk(3)
            for name, value in zip(("query", "key", "value"), joint, strict=True):
                out[f"{new}.attention.attention.{name}.{part}"] = value
    return out


def parameter_groups(model: YolosForObjectDetection, weight_decay: float) -> list[dict]:
    """Decay the blocks' matrices, the patch projection, the positions between blocks and both whole heads; nothing else."""
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        head = name.startswith(("class_labels_classifier.", "bbox_predictor."))
        kept = name.endswith(("cls_token", "detection_tokens", ".position_embeddings")) or parameter.ndim == 1
        (decayed if head or not kept else others).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
