"""An encoder's features of photos, kept in memory or on disk.

patch_features.py  image_features.py     features of patches, with the patches' classes; features of whole images
patch_labels.py    feature_rows.py       the class of a patch; storage for features
"""
