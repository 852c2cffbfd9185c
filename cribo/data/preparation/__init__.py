"""From archives and folders, or from the generator, to data/NAME: MANIFEST.json and index.csv.

catalogue.py      where data sets are published, and their archives
obtain.py         download.py  archives.py       fetched, unpacked with suspicion
sets/             what each data set lists; its classes and what its masks store
scenes.py         scenes_shapes.py               generated scenes instead
scenes_textures.py  layouts.py
prepare.py        verify.py  parallel.py         every file decoded once, on all cores
"""
