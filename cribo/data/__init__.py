"""Photos: from archives of strangers, or from a generator, to two augmented views with patch positions.

Before training, by the stage `prepare`:

    location.py  catalogue.py                       where photos are; where they are published, and their archives
    obtain.py    download.py  archives.py           fetched, unpacked with suspicion
    sets/        labels.py                          what each data set lists; its classes and what its masks store
    scenes.py    scenes_shapes.py                   generated scenes instead
    scenes_textures.py  layouts.py
    prepare.py   verify.py  parallel.py             every file decoded once, on all cores
    manifest.py                                     what a prepared set is: MANIFEST.json and index.csv

By training and every evaluation:

    readers.py   records.py  images.py              a prepared set, its records, pixels and masks
    views.py     positions.py                       two views of a photo; where each of their patches lies in it
    loader.py    workers.py  streams.py             batches of them; random numbers that are functions of the seed
"""
