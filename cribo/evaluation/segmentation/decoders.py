"""mmsegmentation's EncoderDecoder around an encoder, with the linear decoder or Segmenter's mask transformer."""

from __future__ import annotations

import warnings

import torch
from mmengine.config import ConfigDict
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.models.decode_heads import FCNHead, SegmenterMaskTransformerHead
from mmseg.models.segmentors import EncoderDecoder
from torch import nn

from cribo.data.batches.streams import seed_of
from cribo.evaluation.segmentation.backbone import Backbone, statistics
from cribo.evaluation.segmentation.crops import DECODER
from cribo.model.encoder import Encoder


def linear(encoder: Encoder, settings: dict, layers: int, classes: int, ignore: int) -> EncoderDecoder:
    """Return a model with a 1×1 convolution (weights N(0, 0.01²), zero bias) on the frozen tokens of the last `layers`
    blocks, concatenated."""
    backbone = Backbone(
        encoder, settings["crop"], layers, settings["layer_norm"] == "each", frozen=True, drop_path=settings["drop_path"]
    )
    head = {
        "type": FCNHead,
        "num_convs": 0,
        "concat_input": False,
        "in_channels": [encoder.width] * layers,
        "in_index": list(range(layers)),
        "input_transform": "resize_concat",  # all maps have one size, so this only concatenates
        "channels": layers * encoder.width,
    }
    return _segmentor(encoder, backbone, head, settings, classes, ignore)


def segmenter(encoder: Encoder, settings: dict, classes: int, ignore: int) -> EncoderDecoder:
    """Return a model with Segmenter's mask transformer on the tokens of the last block, to be trained end to end."""
    backbone = Backbone(encoder, settings["crop"], frozen=False, drop_path=settings["drop_path"])
    head = {
        "type": SegmenterMaskTransformerHead,
        "in_channels": encoder.width,
        "channels": encoder.width,
        "embed_dims": encoder.width,
        "num_layers": settings["decoder_layers"],
        "num_heads": encoder.net.blocks[0].attn.num_heads,
        "drop_path_rate": settings["decoder_drop_path"],
    }
    return _segmentor(encoder, backbone, head, settings, classes, ignore)


def _segmentor(
    encoder: Encoder, backbone: Backbone, head: dict, settings: dict, classes: int, ignore: int
) -> EncoderDecoder:
    """Return the whole model on the encoder's device; the decoder's weights are a function of the seed."""
    device = encoder.shift.device
    mean, std = statistics(encoder, settings["statistics"])
    window, stride = settings["window"], settings["stride"]
    loss = {"type": "CrossEntropyLoss", "use_sigmoid": False}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Default ``avg_non_ignore`` is False")  # as in the paper's evaluation
        torch.manual_seed(seed_of(settings["seed"], DECODER))
        model = EncoderDecoder(
            backbone={"type": _as_it_is, "module": backbone},
            decode_head={
                **head,
                "num_classes": classes,
                "ignore_index": ignore,
                "dropout_ratio": 0.0,
                "align_corners": False,
                "loss_decode": loss,
            },
            data_preprocessor={
                "type": SegDataPreProcessor,
                "mean": [255 * m for m in mean],
                "std": [255 * s for s in std],
                "bgr_to_rgb": True,
                "size": (settings["crop"],) * 2,
                "pad_val": 0,
                "seg_pad_val": ignore,
            },
            test_cfg=ConfigDict(mode="slide", crop_size=(window, window), stride=(stride, stride)),
        )
        model.decode_head.init_weights()
    return model.to(device)


def _as_it_is(module: nn.Module) -> nn.Module:
    """Return `module` itself: mmengine builds modules only from configurations, so this hands it an existing one."""
    return module
