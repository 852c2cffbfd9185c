"""A prepared set of photos, as training and every evaluation read it.

manifest.py       location.py                    what it is: MANIFEST.json and index.csv; where its photos lie
readers.py        records.py                     opened, and compared with its manifest; its photos
images.py         labels.py                      pixels and masks; from what masks store to classes
"""
