"""Drop path: the table belongs to the batch, its cuts to the images."""

import timm
import torch

from cribo.model.networks.drop_path import draw, drop_paths, hand_in, replace_drop_paths


def vit(rate):
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, embed_dim=16, depth=3, num_heads=2, img_size=32, drop_path_rate=rate
    )
    replace_drop_paths(model)
    return model


def test_rates_grow_linearly_from_zero_as_in_timm_and_the_first_block_has_none():
    paths = drop_paths(vit(0.4))
    torch.testing.assert_close(torch.tensor([p.rate for p in paths]), torch.tensor([0.2, 0.2, 0.4, 0.4]))
    assert not drop_paths(vit(0.0))


def test_each_branch_is_left_out_at_its_rate_and_its_mean_is_kept():
    paths = drop_paths(vit(0.4))
    table = draw(paths, 5000, seed=1)
    rates = torch.tensor([p.rate for p in paths])
    torch.testing.assert_close((table == 0).float().mean((0, 1)), rates, atol=0.02, rtol=0)
    torch.testing.assert_close(table.mean((0, 1)), torch.ones(4), atol=0.03, rtol=0)
    assert not torch.equal(table, draw(paths, 5000, seed=2))


def test_an_image_keeps_its_draws_when_the_batch_is_split():
    torch.manual_seed(0)
    model, images = vit(0.5), torch.randn(2, 6, 3, 32, 32)
    paths = drop_paths(model)
    table = draw(paths, 6, seed=0)

    def run(part):
        hand_in(paths, table[:, part])
        return model.forward_features(images[:, part].flatten(0, 1)).unflatten(0, (2, -1))

    whole = run(slice(None))
    torch.testing.assert_close(torch.cat([run(slice(0, 2)), run(slice(2, 6))], dim=1), whole)
    hand_in(paths, torch.ones_like(table))
    assert not torch.allclose(model.forward_features(images.flatten(0, 1)).unflatten(0, (2, -1)), whole)
