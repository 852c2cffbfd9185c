"""Label rules against what the data sets' own documentation states."""

import numpy as np
import pytest

from cribo.data.preparation.sets import ade20k, coco_stuff, pascal_context, voc
from cribo.data.prepared.labels import IDS, ILLEGAL, VOID, class_ids, illegal, legal, rule, rule_of

ADE20K, COCO_STUFF, CONTEXT = ade20k.RULES[".png"], coco_stuff.RULES[".png"], pascal_context.RULES[".mat"]


@pytest.mark.parametrize(
    ("names", "classes", "first", "last"),
    [
        (voc.CLASSES, 21, "background", "tvmonitor"),
        (pascal_context.CLASSES, 60, "background", "wood"),
        (ade20k.CLASSES, 150, "wall", "flag"),
        (coco_stuff.CLASSES, 171, "person", "wood"),
    ],
    ids=["voc", "pascal_context", "ade20k", "coco_stuff"],
)
def test_number_and_order_of_classes(names, classes, first, last):
    assert len(names) == len(set(names)) == classes and names[0] == first and names[-1] == last
    assert all(name and name == " ".join(name.split()) for name in names)  # the lines of the source cut some


def test_voc_and_context_stand_in_alphabetical_order_behind_the_background():
    for names in (voc.CLASSES, pascal_context.CLASSES):
        assert list(names[1:]) == sorted(names[1:])


def test_stuff_stands_in_alphabetical_order_behind_the_eighty_things():
    assert list(coco_stuff.CLASSES[80:]) == sorted(coco_stuff.CLASSES[80:])


def ids(rule, *stored):
    return class_ids(np.array([stored], dtype=np.uint16), rule)[0].tolist()


def test_ade20k_leaves_zero_out_and_moves_the_rest_down():
    assert ids(ADE20K, 0, 1, 150, 151, 255) == [VOID, 0, 149, ILLEGAL, ILLEGAL]


def test_coco_stuff_closes_the_gaps_of_coco():
    # COCO ids 1, 11, 13, 90 are person, fire hydrant, stop sign, toothbrush; 92 is banner, 182 wood; maps store id - 1.
    named = {0: "person", 10: "fire hydrant", 12: "stop sign", 89: "toothbrush", 91: "banner", 181: "wood"}
    assert [coco_stuff.CLASSES[k] for k in ids(COCO_STUFF, *named)] == list(named.values())
    assert ids(COCO_STUFF, 255, 11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90, 182, 254) == [VOID] + 13 * [ILLEGAL]


def test_pascal_context_keeps_59_of_459_and_the_rest_is_background():
    # Numbers in the published labels.txt.
    named = {2: "aeroplane", 23: "bicycle", 258: "motorbike", 397: "table", 415: "track", 458: "wood", 1: "background"}
    assert [pascal_context.CLASSES[k] for k in ids(CONTEXT, *named)] == list(named.values())
    assert ids(CONTEXT, 0, 459, 460, 65535) == [0, 0, ILLEGAL, ILLEGAL]
    assert sorted(set(CONTEXT)) == [*range(60), ILLEGAL]


def test_pascal_context_counts_exactly_the_59_labels_of_its_publication():
    counting = [value for value, number in enumerate(CONTEXT) if number not in (0, ILLEGAL)]
    assert counting == [
        *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159),
        *(162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397),
        *(415, 416, 420, 424, 427, 440, 445, 454, 458),
    ]
    assert ids(CONTEXT, *counting) == list(range(1, 60))


def test_class_ids_pass_as_they_are():
    mask = np.array([[0, 20, 255]], dtype=np.uint8)
    assert class_ids(mask, IDS) is mask


def test_illegal_values_are_those_beyond_the_classes_that_are_not_void():
    values = np.array([0, 20, 21, 254, 255], dtype=np.uint8)
    assert illegal(values, IDS, 21) == [21, 254] and illegal(values[[0, 1, 4]], IDS, 21) == []
    assert illegal(values, ADE20K, 150) == [254, 255] and illegal(values, COCO_STUFF, 171) == [254]


def test_legal_values_are_written_as_ranges():
    assert legal(IDS, 21) == "0-20, 255" and legal(ADE20K, 150) == "0-150"
    assert legal(COCO_STUFF, 171).startswith("0-10, 12-24, 26-27, 30-43") and legal(CONTEXT, 60) == "0-459"


def test_the_rule_follows_the_name_of_the_mask():
    rules = {".mat": CONTEXT}
    assert rule_of(rules, "trainval/a.b.mat") == CONTEXT and rule_of(rules, "SegmentationClassContext/a.png") == IDS
    assert rule_of({}, "a.mat") == IDS


def test_values_beyond_a_rule_are_those_that_its_last_entry_stands_for():
    assert ids(rule({0: VOID, 1: 0}, 3), 0, 1, 2, 3, 65535) == [VOID, 0] + 3 * [ILLEGAL]
