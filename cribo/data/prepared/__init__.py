"""A prepared set of photos, as training and every evaluation read it.

manifest.py       what it is: MANIFEST.json and index.csv
readers.py        records.py                     opened, and compared with its manifest; its photos
images.py         labels.py                      pixels and masks; from what masks store to classes
"""
