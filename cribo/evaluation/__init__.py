"""Evaluation protocols, each a function of an encoder, a prepared data set and its settings.

dense_nn.py       dense_nn_result.py     dense nearest neighbours (§4.1, Table 1)
hummingbird.py    hummingbird_patches.py soft_labels.py     the community's form of it
segmentation/                            linear decoder and Segmenter (§4.2, Tables 2, 3, 7)
knn.py                                   k-NN of whole images (Table 5)
detection/                               YOLOS (Tables 5, 6)

features.py       image_features.py      an encoder's features of patches, and of images
feature_rows.py   read_ahead.py          room for them; files decoded while others are encoded
patch_labels.py   subsample.py           the class of a patch; which training images a memory holds
neighbours.py     shared_search.py       exact neighbours; among keys on disk or in several processes
vote.py           pixels.py  miou.py     what neighbours say; of every pixel; mean IoU
result.py         stage.py  compute.py   the result file; what stages share; one process or torchrun's
protocols.py                             what `python -m cribo.evaluate` offers
errors.py         progress.py            what is refused; how far it is
"""

import os

# FAISS and torch bring an OpenMP runtime each, and the idle threads of one spin on the cores that the other needs: on a
# busy machine that makes an evaluation several times slower. Read when the runtime loads, hence before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
