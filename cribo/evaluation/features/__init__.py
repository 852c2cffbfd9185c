"""What an encoder says of photos, on the host or on disk.

patch_features.py  image_features.py     features of patches, with their classes; of whole images
patch_labels.py    feature_rows.py       the class of a patch; room for features
"""
