"""What is trained: ViTs by timm, with the parts that we do in ways of our own.

backbone.py                              a ViT of timm's, and its tokens
patch_projection.py  drop_path.py        two of its parts
mlp.py  gelu.py      fused_gelu.py       a block's MLP, its GELU, and a kernel for the gradient
head.py              network.py          projection head; backbone and head: student or teacher
masked_autoencoder.py                    MAE's network
"""
