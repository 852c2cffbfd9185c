"""The evaluation protocols. Each is a function of an encoder, a prepared data set and the protocol's settings.

dense_nn/         dense nearest neighbours (§4.1, Table 1)
hummingbird/      the community's version of dense nearest neighbours
segmentation/     linear decoder and Segmenter (§4.2, Tables 2, 3, 7)
knn.py            k-NN of whole images (Table 5)
detection/        YOLOS (Tables 5, 6)

features/         an encoder's features of patches and of whole images
neighbours/       exact nearest neighbours and their votes
pixels.py         miou.py               from patches to pixels; mean IoU
harness/          what all protocols share: stage, processes, result file
protocols.py                            the protocols that `python -m cribo.evaluate` offers
"""

import os

# FAISS and torch each bring an OpenMP runtime, and the idle threads of one spin on the cores that the other needs. On a
# busy machine this makes an evaluation several times slower. The runtime reads the variable when it loads, so set it before
# torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
