"""Files in the forms in which others publish weights, with their real keys and shapes, from seeded numbers.

Names and shapes follow the authors' code: DINO's ViT (timm's names), iBOT's and CrIBo's checkpoints, MAE's with decoder,
torchvision's ResNet-50 in SlotCon and OpenSelfSup wrappings, scenic's ViT for LOCA in flax's msgpack.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import msgpack
import numpy as np
import timm
import torch

# What a line of models.imported leaves unsaid.
NOTHING = dict.fromkeys(("backbone", "ours", "image_size", "seed", "format", "stride", "mean", "std"))
VIT, RESNET = "vit_small_patch16_224", "resnet50"
LOCA = {"class_token": False, "global_pool": "avg", "fc_norm": False, "act_layer": "gelu_tanh"}


@cache
def weights(architecture: str, **args) -> dict[str, torch.Tensor]:
    """A network's own keys and shapes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return timm.create_model(architecture, num_classes=0, **args).state_dict()


def under(prefix: str, tree: dict) -> dict:
    return {f"{prefix}{key}": value for key, value in tree.items()}


def head(width: int = 384, prototypes: tuple[str, ...] = ("last_layer", "last_layer_c")) -> dict:
    """DINO's head; the prototypes' 65536 rows are cut to 8, as they are left out unread."""
    shapes = {"mlp.0.weight": (2048, width), "mlp.0.bias": (2048,), "mlp.4.weight": (256, 2048), "mlp.4.bias": (256,)}
    shapes |= {f"{name}.weight_g": (8, 1) for name in prototypes} | {f"{name}.weight_v": (8, 256) for name in prototypes}
    return under("head.", {key: torch.zeros(shape) for key, shape in shapes.items()})


def checkpoint() -> dict:
    """CrIBo's, and with one prototype layer CrOC's, DINO's and iBOT's: a namespace of arguments lies in it."""
    network = {**under("backbone.", weights(VIT)), **head()}
    schedule = {"lr": np.float64(5e-4), "weight_decay": np.float64(0.04), "params": [0]}  # numpy's, as is cosine_scheduler
    return {
        "student": under("module.", network),
        "teacher": network,
        "optimizer": {"state": {}, "param_groups": [schedule]},
        "epoch": 300,
        "args": argparse.Namespace(arch="vit_small", patch_size=16, pos_alpha=[2.0, 2.0], output_dir="."),
        "dino_loss": {"center": torch.zeros(1, 8), "center_c": torch.zeros(1, 8)},
        "cpv_queue_cpu": torch.zeros(5, dtype=torch.int32),
    }


def mae() -> dict:
    decoder = {"mask_token": torch.zeros(1, 1, 512), "decoder_pos_embed": torch.zeros(1, 197, 512)}
    decoder |= {"decoder_blocks.0.attn.qkv.weight": torch.zeros(1536, 512), "decoder_pred.bias": torch.zeros(768)}
    return {"model": {**weights(VIT), **decoder}}


def dinov2() -> dict:
    """The original names of a ViT with registers, a grid of 37 × 37 positions and one for the CLS token."""
    tree = dict(weights("vit_small_patch14_reg4_dinov2"))
    tree["register_tokens"] = tree.pop("reg_token")
    tree["pos_embed"] = torch.cat([torch.full((1, 1, 384), 0.5), tree["pos_embed"]], dim=1)
    return {**tree, "mask_token": torch.zeros(1, 384)}


def slotcon() -> dict:
    """torchvision's ResNet-50, twice, each behind DDP."""
    encoder = {**weights(RESNET), "fc.weight": torch.zeros(8, 2048)}
    rest = {"projector_k.mlp.0.weight": torch.zeros(8, 8, 1, 1), "center": torch.zeros(1, 256)}
    rest |= {"grouping_q.slot_embed.weight": torch.zeros(8, 8), "predictor_slot.mlp.0.weight": torch.zeros(8, 8)}
    both = {**under("encoder_q.", encoder), **under("encoder_k.", encoder), **rest}
    return {"opt": argparse.Namespace(arch="resnet50", epochs=800), "model": under("module.", both), "epoch": 800}


def orl() -> dict:
    """OpenSelfSup's: the online network's backbone under a name of its own as well."""
    backbone = weights(RESNET)
    wrapped = {**under("online_net.0.", backbone), **under("target_net.0.", backbone), **under("backbone.", backbone)}
    meta = {"epoch": 800, "config": "model = dict(type='ORL')"}
    rest = [f"{part}.weight" for part in ("neck", "global_head", "local_intra_head", "local_inter_head")]
    return {"meta": meta, "state_dict": {**wrapped, **dict.fromkeys(rest, torch.zeros(8, 8))}}


def loca() -> dict:
    """scenic's TrainState: kernels [in, out], attention heads as axes; heads of the objective behind the encoder."""
    w, width, heads = {key: value.numpy() for key, value in weights(VIT, **LOCA).items()}, 384, 6
    params = {
        "ToTokenSequence_0": {
            "embedding": {
                "kernel": w["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
                "bias": w["patch_embed.proj.bias"],
            },
            "posembed_input": w["pos_embed"].reshape(1, 14, 14, width),
        },
        "encoder_norm": {"scale": w["norm.weight"], "bias": w["norm.bias"]},
        "final_norm": {"scale": w["norm.weight"], "bias": w["norm.bias"]},
        "cross_attention_block": {"LayerNorm_0": {"scale": w["norm.weight"], "bias": w["norm.bias"]}},
        "projection_head_for_clustering_prediction": {"Dense_0": {"kernel": np.zeros((width, 8), np.float32)}},
        "position_predictor": {"kernel": np.zeros((width, 196), np.float32), "bias": np.zeros(196, np.float32)},
    }
    for n in range(12):
        block = f"blocks.{n}."
        qkv = {}
        for i, name in enumerate(("query", "key", "value")):
            rows = slice(i * width, (i + 1) * width)
            qkv[name] = {
                "kernel": w[f"{block}attn.qkv.weight"][rows].T.reshape(width, heads, 64),
                "bias": w[f"{block}attn.qkv.bias"][rows].reshape(heads, 64),
            }
        out = w[f"{block}attn.proj.weight"].T.reshape(heads, 64, width)
        params[f"encoderblock_{n}"] = {
            "LayerNorm_0": {"scale": w[f"{block}norm1.weight"], "bias": w[f"{block}norm1.bias"]},
            "MultiHeadDotProductAttention_0": {**qkv, "out": {"kernel": out, "bias": w[f"{block}attn.proj.bias"]}},
            "LayerNorm_1": {"scale": w[f"{block}norm2.weight"], "bias": w[f"{block}norm2.bias"]},
            "MlpBlock_0": {
                f"Dense_{i}": {"kernel": w[f"{block}mlp.fc{i + 1}.weight"].T, "bias": w[f"{block}mlp.fc{i + 1}.bias"]}
                for i in range(2)
            },
        }
    return {"global_step": 750_000, "params": params, "ema_params": {}, "metadata": {"chrono": {"accum_train_time": 1.5}}}


def write_flax(tree: dict, path: Path) -> None:
    def packed(value):
        content = (value.shape, value.dtype.name, np.ascontiguousarray(value).tobytes())
        return msgpack.ExtType(1, msgpack.packb(content, use_bin_type=True))

    path.write_bytes(msgpack.packb(tree, default=packed, strict_types=True))


# Format → (tree of a file, architecture, the path to the weights in the tree, prefix of their keys)
FILES = {
    "timm": (lambda: dict(weights(VIT)), VIT, (), ""),
    "teacher": (checkpoint, VIT, ("teacher",), "backbone."),
    "state_dict": (lambda: {"state_dict": dict(weights(VIT))}, VIT, ("state_dict",), ""),
    "mae": (mae, VIT, ("model",), ""),
    "dinov2": (dinov2, "vit_small_patch14_reg4_dinov2", (), ""),
    "timet": (
        lambda: {**under("feature_extractor.backbone.", weights(VIT)), "prototypes": torch.zeros(8, 8)},
        VIT,
        (),
        "feature_extractor.backbone.",
    ),
    "slotcon": (slotcon, RESNET, ("model",), "module.encoder_k."),
    "orl": (orl, RESNET, ("state_dict",), "backbone."),
}
