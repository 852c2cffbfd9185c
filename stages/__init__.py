"""One thin command per stage of dvc.yaml.

plan, prepare, pretrain, export, imports, dense_nn, linear_segmentation, segmenter, tables, release.
"""
