"""From archives and folders, or from the generator, to data/NAME: MANIFEST.json and index.csv.

sets/             a file per data set: where it is published, what it lists, its classes, what its masks store
obtain.py         download.py  archives.py       fetching archives, unpacking them without trusting them
scenes.py         scenes_shapes.py               generating scenes instead
scenes_textures.py  layouts.py
prepare.py        verify.py  parallel.py         decoding every file once, on all cores
"""
