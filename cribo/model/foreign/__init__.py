"""Weights that others trained: where the files live, how they are read without running them, what timm calls each key."""
