"""Dense retrieval as the community measures it (open-hummingbird).

run.py             patches.py            the protocol; augmented photos and the patches kept of them in memory
soft_labels.py                           the pixels of each class in a patch
"""
