"""A prepared set of photos, as training and every evaluation read it.

manifest.py       location.py                    MANIFEST.json and index.csv, which define it; where its photos lie
readers.py        records.py                     opening it and comparing it with its manifest; its records of images
images.py         labels.py                      pixels and masks; from the values that masks store to class ids
"""
