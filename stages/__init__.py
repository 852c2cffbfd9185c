"""One thin command per stage of dvc.yaml: arguments and settings in, files out; all thinking is in cribo/.

plan → prepare → pretrain → export, imports (the stage `import`, which is no name for a module) → dense_nn, hummingbird,
linear_segmentation, segmenter, knn, yolos → tables → examples → report → release.
"""
