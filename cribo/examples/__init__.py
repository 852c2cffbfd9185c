"""Pictures of what an encoder does, for results/report.html.

run.py                                   all of one encoder on one data set
matches.py        objects.py  groups.py  object-level matches across photos (Figs. 4, 5)
segmentation.py   retrieval.py           dense nearest neighbours; photos that are alike as a whole
choice.py         pictures.py            which photos; arrays of colours as PNG
"""
