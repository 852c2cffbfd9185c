"""Pictures of what an encoder does, for results/report.html: segmentation, retrieval, object-level matches."""
