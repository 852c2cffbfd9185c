"""Weights that others trained: where the files live, how they are read without running them, what timm calls each key.

catalogue.py (what is published) → read.py (bytes) → convert.py (names, by formats.py and flax_vit.py) → load.py (a network).
"""
