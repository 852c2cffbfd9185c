"""Every random stream of a training is its own, and the same in every run."""

from itertools import product

from cribo.data.batches.streams import DROP_PATH, LOCAL_CROPS, LOCAL_DROP_PATH, MASKING, ORDER, VIEWS, seed_of


def test_seeds_of_all_streams_and_steps_differ():
    streams = list(product(range(3), (ORDER, VIEWS, DROP_PATH, MASKING, LOCAL_CROPS, LOCAL_DROP_PATH), range(50)))
    assert len({seed_of(*stream) for stream in streams}) == len(streams)


def test_a_stream_keeps_its_numbers_for_ever():
    """Another number would be another training of the same parameters."""
    assert (ORDER, VIEWS, DROP_PATH, MASKING, LOCAL_CROPS, LOCAL_DROP_PATH) == (0, 1, 2, 3, 4, 5)
    assert seed_of(0, DROP_PATH, 5) == 3608231367
