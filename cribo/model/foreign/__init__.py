"""Weights that others trained: where the files are, how to read them without running code, what timm calls each key.

catalogue.py (what is published) → read.py (bytes) → convert.py (names, by formats.py and flax_vit.py) → load.py (a network).
"""
