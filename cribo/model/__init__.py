"""Networks, and weights in and out.

architectures.py                  the ViTs that can be pretrained
networks/                         their parts, student and teacher, MAE's network
checkpoint_file.py                the checkpoint that a training writes
export.py  onnx.py  card.py       its teacher as a folder that timm loads, as ONNX, and for a model hub
foreign/   weights.py             weights that others trained; an encoder from whatever weights a user has
encoder.py                        the contract: all that an evaluation knows of a model
"""
