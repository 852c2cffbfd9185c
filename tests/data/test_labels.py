import numpy as np

from cribo.data.labels import LABELS
from cribo.data.scenes import CLASSES


def test_voc_has_21_classes_in_the_devkits_order():
    classes = LABELS["voc"].classes
    assert len(classes) == 21 and classes[0] == "background" and list(classes[1:]) == sorted(classes[1:])


def test_scenes_have_their_generators_classes():
    assert LABELS["scenes"].classes == CLASSES


def test_illegal_values_are_those_beyond_the_classes_that_are_not_void():
    mask = np.array([[0, 20, 255], [21, 254, 21]], dtype=np.uint8)
    assert LABELS["voc"].illegal(mask) == [21, 254]
    assert LABELS["voc"].illegal(mask[:1]) == []
