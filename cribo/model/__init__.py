"""Networks, and weights in and out.

architectures.py  backbone.py            the ViTs that can be pretrained, by timm
patch_projection.py  drop_path.py        two of their parts in ways of our own
mlp.py            gelu.py  fused_gelu.py a block's MLP, its GELU, and a kernel for the gradient
head.py           network.py             projection head; backbone and head: student or teacher
masked_autoencoder.py                    MAE's network
checkpoint_file.py                       what a training leaves behind
export.py         onnx.py  card.py       its teacher as a folder that timm loads, as ONNX, for a model hub
foreign/          weights.py             weights that others trained; an encoder from whatever a person has
encoder.py                               the contract: all that an evaluation knows of a model
"""
