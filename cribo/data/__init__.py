"""Photos: from archives of strangers, or from a generator, to two augmented views with patch positions.

preparation/      once, by the stage `prepare`: fetched, listed, every file verified -> data/NAME
prepared/         what that made, as training and evaluations read it: manifest, records, pixels, masks
batches/          two views of each photo, where their patches lie, loaded by worker processes
"""
