"""One thin command per stage of dvc.yaml: arguments and settings in, files out; all logic is in cribo/.

plan → prepare → pretrain → export, imports (the stage `import`, which cannot be a module's name) → dense_nn, hummingbird,
linear_segmentation, segmenter, knn, yolos → tables → examples → report → release.
"""
