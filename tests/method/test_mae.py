"""MAE against a slow restatement: loops over patches and pixels, as its paper words it."""

import math

import pytest
import timm
import torch

from cribo.method.mae import patch_pixels, random_masking, reconstruction_loss, sine_positions
from cribo.model.networks.masked_autoencoder import MaskedAutoencoder
from tests.tiny import tiny_vit


def patches_one_by_one(image, p):
    """All patches of [3, H, W], each as a list of its pixels' colours, row by row."""
    _, height, width = image.shape
    return [
        [float(image[c, y * p + i, x * p + j]) for i in range(p) for j in range(p) for c in range(3)]
        for y in range(height // p)
        for x in range(width // p)
    ]


def loss_one_by_one(predicted, images, masked, p, normalise):
    total, count = 0.0, 0
    for b, image in enumerate(images):
        for n, pixels in enumerate(patches_one_by_one(image, p)):
            if not masked[b, n]:
                continue
            if normalise:
                mean = sum(pixels) / len(pixels)
                variance = sum((value - mean) ** 2 for value in pixels) / (len(pixels) - 1)
                pixels = [(value - mean) / math.sqrt(variance + 1e-6) for value in pixels]
            guess = predicted[b, n].tolist()
            total += sum((g - v) ** 2 for g, v in zip(guess, pixels, strict=True)) / len(pixels)
            count += 1
    return total / count


@pytest.mark.parametrize("normalise", [True, False])
def test_the_loss_equals_a_restatement_pixel_by_pixel(normalise):
    torch.manual_seed(0)
    images, predicted = 0.003 * torch.randn(3, 3, 8, 12), torch.randn(3, 6, 48)  # so even that the 1e-6 is seen
    masked = random_masking(torch.rand(3, 6), 0.5).masked
    ours = reconstruction_loss(predicted, patch_pixels(images, 4), masked, normalise)
    assert float(ours) == pytest.approx(loss_one_by_one(predicted, images, masked, 4, normalise), rel=1e-5)


def test_seen_patches_teach_nothing():
    predicted = torch.randn(2, 9, 12, requires_grad=True)
    masking = random_masking(torch.rand(2, 9), 0.75)
    reconstruction_loss(predicted, torch.randn(2, 9, 12), masking.masked, True).backward()
    touched = predicted.grad.abs().sum(2) > 0
    assert torch.equal(touched, masking.masked)


@pytest.mark.parametrize(("patches", "share", "seen"), [(196, 0.75, 49), (36, 0.75, 9), (36, 0.6, 14)])
def test_the_least_noisy_patches_are_seen_and_are_as_many_as_asked(patches, share, seen):
    noise = torch.rand(5, patches)
    masking = random_masking(noise, share)
    assert masking.seen.shape == (5, seen) and (masking.masked.sum(1) == patches - seen).all()
    for b in range(5):
        assert set(masking.seen[b].tolist()) == set(noise[b].argsort()[:seen].tolist())
        assert not masking.masked[b, masking.seen[b]].any()


def test_positions_equal_their_formula():
    grid, width = 3, 16
    positions = sine_positions(grid, width)[0]
    assert positions.shape == (10, 16) and not positions[0].any()
    for row in range(grid):
        for column in range(grid):
            for k in range(4):
                omega = 1 / 10000 ** (k / 4)
                got = positions[1 + row * grid + column]
                expected = [math.sin(column * omega), math.cos(column * omega), math.sin(row * omega), math.cos(row * omega)]
                assert got[[k, 4 + k, 8 + k, 12 + k]].tolist() == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------------------------------------------------- the network
@pytest.fixture
def net():
    torch.manual_seed(0)
    return MaskedAutoencoder(tiny_vit(), width=8, depth=1, heads=2).eval()


def test_the_encoder_sees_what_is_seen_and_nothing_else(net):
    images = torch.randn(2, 3, 32, 32)
    masking = random_masking(torch.rand(2, 16), 0.75)
    changed = images.clone()
    for b in range(2):
        for n in masking.masked[b].nonzero()[:, 0].tolist():
            y, x = divmod(n, 4)
            changed[b, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 7.0
    assert torch.equal(net(images, masking), net(changed, masking))
    assert net.encode(images, masking).shape == (2, 1 + 4, 16)


def test_with_all_patches_seen_in_order_the_encoder_is_the_exported_backbone(net):
    images = torch.randn(2, 3, 32, 32)
    everything = random_masking(torch.arange(16.0).repeat(2, 1), 0.0)
    torch.testing.assert_close(net.encode(images, everything), net.backbone.forward_features(images))


def test_the_order_in_which_patches_are_seen_does_not_matter(net):
    images, masking = torch.randn(1, 3, 32, 32), random_masking(torch.rand(1, 16), 0.5)
    torch.testing.assert_close(net(images, masking), net(images, masking._replace(seen=masking.seen.flip(1))))


def test_positions_are_fixed_and_everything_else_learns(net):
    masking = random_masking(torch.rand(2, 16), 0.75)
    net(torch.randn(2, 3, 32, 32), masking).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == ["backbone.pos_embed"]
    assert torch.equal(net.backbone.pos_embed, sine_positions(4, 16))


@pytest.mark.parametrize("more", [{"reg_tokens": 4}, {"class_token": False, "global_pool": "avg"}], ids=str)
def test_a_vit_with_registers_or_without_cls_is_refused_in_a_sentence(more):
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, depth=1, **more)
    with pytest.raises(ValueError, match=r"needs a ViT with a CLS token and no registers: choose another backbone$"):
        MaskedAutoencoder(vit, width=8, depth=1, heads=2)
