"""Pictures of what an encoder does, for results/report.html.

run.py                                   all examples of one encoder on one data set
matches.py        objects.py  groups.py  object-level matches across photos (Figs. 4, 5)
segmentation.py   retrieval.py           segmentation by dense nearest neighbours; the photos most alike as a whole
choice.py         pictures.py            which photos are shown; arrays of colours as PNG files
"""
