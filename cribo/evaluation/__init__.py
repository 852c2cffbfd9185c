"""Evaluation protocols, each a function of an encoder, a prepared data set and its settings.

dense_nn/         dense nearest neighbours (§4.1, Table 1)
hummingbird/      the community's form of it
segmentation/     linear decoder and Segmenter (§4.2, Tables 2, 3, 7)
knn.py            k-NN of whole images (Table 5)
detection/        YOLOS (Tables 5, 6)

features/         an encoder's features of patches, and of images
neighbours/       exact neighbours, and their votes
pixels.py         miou.py               from patches to pixels; mean IoU
harness/          what all protocols share: stage, processes, result file
protocols.py                            what `python -m cribo.evaluate` offers
"""

import os

# FAISS and torch bring an OpenMP runtime each, and the idle threads of one spin on the cores that the other needs: on a
# busy machine that makes an evaluation several times slower. Read when the runtime loads, hence before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
