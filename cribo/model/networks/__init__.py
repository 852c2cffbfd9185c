"""The networks that are trained: timm's ViTs, with some parts replaced by our own.

backbone.py                              a timm ViT and its tokens
patch_projection.py  drop_path.py        two of the parts we replace
attention.py         fused_attention.py  a block's attention, and its GPU kernels
mlp.py  gelu.py      fused_gelu.py       a block's MLP, its GELU, and a GPU kernel for GELU's gradient
head.py              network.py          projection head; backbone and head as student or teacher
masked_autoencoder.py                    MAE's network
"""
