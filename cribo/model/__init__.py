"""Networks, and weights in and out.

architectures.py                  the ViTs that can be pretrained
networks/                         their parts, the student and the teacher, MAE's network
checkpoint_file.py                what a training leaves behind
export.py  onnx.py  card.py       its teacher as a folder that timm loads, as ONNX, for a model hub
foreign/   weights.py             weights that others trained; an encoder from whatever a person has
encoder.py                        the contract: all that an evaluation knows of a model
"""
