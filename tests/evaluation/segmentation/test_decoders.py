"""The two decoders and their loss against restatements in plain torch and numpy."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cribo.evaluation.segmentation import decoders
from cribo.evaluation.segmentation.crops import Crop
from cribo.evaluation.segmentation.train import prepare


def crops():
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (32, 20), (25, 32)]
    masks = [rng.integers(0, 4, (1, *size)).astype(np.uint8) for size in sizes]
    masks[0][:, :5] = 255
    return [
        Crop(torch.from_numpy(rng.integers(0, 256, (3, *size)).astype(np.uint8)), torch.from_numpy(mask))
        for size, mask in zip(sizes, masks, strict=True)
    ]


@pytest.mark.parametrize("statistics", ["encoder", "half"])
def test_crops_become_rgb_normalised_and_padded_with_zeros_and_void(own_encoder, linear_settings, statistics):
    model = decoders.linear(own_encoder, {**linear_settings, "statistics": statistics}, 1, 4, 255)
    images, samples = prepare(model, crops())
    assert images.shape == (3, 3, 32, 32)
    for crop, image, sample in zip(crops(), images, samples, strict=True):
        h, w = crop.mask.shape[1:]
        mean = np.array(own_encoder.mean if statistics == "encoder" else [0.5] * 3)
        std = np.array(own_encoder.std if statistics == "encoder" else [0.5] * 3)
        wanted = (crop.image.numpy()[::-1].transpose(1, 2, 0) / 255 - mean) / std
        np.testing.assert_allclose(image[:, :h, :w].permute(1, 2, 0).numpy(), wanted, atol=1e-5)
        assert not image[:, h:].any() and not image[:, :, w:].any()
        truth = sample.gt_sem_seg.data[0]
        assert (truth[:h, :w] == crop.mask[0]).all() and (truth[h:] == 255).all() and (truth[:, w:] == 255).all()


def restated_loss(logits, samples):
    """Cross-entropy by numpy: the sum over labelled pixels, over the number of all pixels."""
    full = F.interpolate(logits, (32, 32), mode="bilinear", align_corners=False).double().detach().numpy()
    total, count = 0.0, 0
    for plane, sample in zip(full, samples, strict=True):
        for y in range(32):
            for x in range(32):
                count += 1
                label = int(sample.gt_sem_seg.data[0, y, x])
                if label != 255:
                    scores = plane[:, y, x]
                    total += np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[label]
    return total / count


@pytest.mark.parametrize(("layers", "norm"), [(1, "last"), (2, "last"), (2, "each")])
def test_the_linear_decoder_is_one_matrix_on_the_concatenated_tokens(own_encoder, linear_settings, layers, norm):
    model = decoders.linear(own_encoder, {**linear_settings, "layer_norm": norm}, layers, 4, 255).train()
    assert model.backbone.norm_each == (norm == "each")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {name: p.shape for name, p in trained.items()} == {
        "decode_head.conv_seg.weight": (4, 24 * layers, 1, 1),
        "decode_head.conv_seg.bias": (4,),
    }
    weight, bias = trained.values()
    assert 0.005 < weight.std() < 0.02 and not bias.any()
    images, samples = prepare(model, crops())
    tokens = torch.cat(model.backbone(images), dim=1)
    logits = torch.einsum("bdhw,cd->bchw", tokens, weight[:, :, 0, 0]) + bias[:, None, None]
    torch.testing.assert_close(model(images, mode="tensor"), logits)
    found = model(images, samples, mode="loss")["decode.loss_ce"]
    np.testing.assert_allclose(found.item(), restated_loss(logits, samples), rtol=1e-5)


def test_the_mask_transformer_equals_a_restatement(own_encoder, segmenter_settings):
    model = decoders.segmenter(own_encoder, segmenter_settings, 4, 255).eval()
    head = model.decode_head
    with torch.no_grad():
        for p in head.parameters():  # away from ones and zeros, so that each acts
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    images, samples = prepare(model, crops())
    x = model.backbone(images)[-1].flatten(2).transpose(1, 2) @ head.dec_proj.weight.T + head.dec_proj.bias
    x = torch.cat([x, head.cls_emb.expand(3, -1, -1)], 1)
    for layer in head.layers:
        attn, y = layer.attn.attn, layer.ln1(x)
        q, k, v = (y @ attn.in_proj_weight.T + attn.in_proj_bias).unflatten(2, (3, 3, 8)).permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(2, 3) / 8**0.5).softmax(3) @ v).transpose(1, 2).flatten(2)
        x = x + y @ attn.out_proj.weight.T + attn.out_proj.bias
        (first, _, _), second = layer.ffn.layers[0], layer.ffn.layers[1]
        x = x + F.gelu(layer.ln2(x) @ first.weight.T + first.bias) @ second.weight.T + second.bias
    x = head.decoder_norm(x)
    patches, classes = F.normalize(head.patch_proj(x[:, :-4]), dim=2), F.normalize(head.classes_proj(x[:, -4:]), dim=2)
    masks = head.mask_norm(patches @ classes.transpose(1, 2)).transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(model(images, mode="tensor"), masks, atol=1e-5, rtol=1e-4)
    found = model(images, samples, mode="loss")["decode.loss_ce"]
    np.testing.assert_allclose(found.item(), restated_loss(masks, samples), rtol=1e-4)


def test_segmenter_s_decoder_is_initialised_as_in_mmsegmentation_and_sized_by_the_parameters(
    own_encoder, segmenter_settings
):
    model = decoders.segmenter(own_encoder, {**segmenter_settings, "decoder_layers": 3, "decoder_drop_path": 0.4}, 4, 255)
    head = model.decode_head
    assert len(head.layers) == 3 and head.layers[0].attn.attn.num_heads == 3
    assert [getattr(layer.ffn.dropout_layer, "drop_prob", 0.0) for layer in head.layers] == pytest.approx([0, 0.2, 0.4])
    linears = [m for m in head.modules() if isinstance(m, nn.Linear)]
    assert len(linears) == 3 + 3 * 3 and all(0.01 < m.weight.std() < 0.03 for m in linears)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("protocol", ["linear", "segmenter"])
def test_the_decoder_is_a_function_of_the_seed_and_leaves_torch_s_stream_alone(
    own_encoder, linear_settings, segmenter_settings, protocol
):
    def build(seed):
        encoder = copy.deepcopy(own_encoder)
        if protocol == "linear":
            return decoders.linear(encoder, {**linear_settings, "seed": seed}, 1, 4, 255)
        return decoders.segmenter(encoder, {**segmenter_settings, "seed": seed}, 4, 255)

    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (list(build(seed).decode_head.parameters()) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), wanted)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0], other[0])
