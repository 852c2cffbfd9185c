"""Photos: from third-party archives, or from a generator, to two augmented views with patch positions.

preparation/      runs once, in the stage `prepare`: fetches, lists and verifies every file -> data/NAME
prepared/         the result, as training and evaluations read it: manifest, records, pixels, masks
batches/          two views of each photo and the positions of their patches, loaded by worker processes
"""
