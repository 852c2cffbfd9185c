"""From archives and folders, or from the generator, to data/NAME: MANIFEST.json and index.csv.

sets/             a file each: where it is published, what it lists; its classes and what its masks store
obtain.py         download.py  archives.py       fetched, unpacked with suspicion
scenes.py         scenes_shapes.py               generated scenes instead
scenes_textures.py  layouts.py
prepare.py        verify.py  parallel.py         every file decoded once, on all cores
"""
