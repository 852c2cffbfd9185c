"""Dense retrieval as the community measures it (open-hummingbird).

run.py             patches.py            the protocol; augmented photos and the patches that are remembered of them
soft_labels.py                           the share of each class in a patch
"""
