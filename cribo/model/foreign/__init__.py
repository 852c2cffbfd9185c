"""Weights that others trained: where the files live, how they are read without running them, what timm calls each key.

catalogue.py (what is published) → read.py (bytes) → formats.py, flax_vit.py (names) → load.py (a network of timm).
"""
