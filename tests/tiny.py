"""Small things to test with."""

import timm


def tiny_vit(grid: int = 4, width: int = 16, depth: int = 2):
    """A ViT of 8 px patches that runs in milliseconds."""
    return timm.create_model(
        "vit_tiny_patch16_224",
        num_classes=0,
        patch_size=8,
        embed_dim=width,
        depth=depth,
        num_heads=2,
        img_size=8 * grid,
        dynamic_img_size=True,
    )
