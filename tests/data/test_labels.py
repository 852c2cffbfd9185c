"""Label rules against what the data sets' own documentation states."""

import numpy as np
import pytest

from cribo.data.labels import CLASSES, ILLEGAL, RULES, VOID, class_ids, illegal, legal, rule_of


@pytest.mark.parametrize(
    ("kind", "classes", "first", "last"),
    [
        ("voc", 21, "background", "tvmonitor"),
        ("pascal_context", 60, "background", "wood"),
        ("ade20k", 150, "wall", "flag"),
        ("coco_stuff", 171, "person", "wood"),
    ],
)
def test_number_and_order_of_classes(kind, classes, first, last):
    names = CLASSES[kind]
    assert len(names) == len(set(names)) == classes and names[0] == first and names[-1] == last


def test_voc_and_context_stand_in_alphabetical_order_behind_the_background():
    for kind in ("voc", "pascal_context"):
        assert list(CLASSES[kind][1:]) == sorted(CLASSES[kind][1:])


def test_stuff_stands_in_alphabetical_order_behind_the_eighty_things():
    assert list(CLASSES["coco_stuff"][80:]) == sorted(CLASSES["coco_stuff"][80:])


def ids(rule, *stored):
    return class_ids(np.array([stored], dtype=np.uint16), rule)[0].tolist()


def test_ade20k_leaves_zero_out_and_moves_the_rest_down():
    assert ids("ade20k", 0, 1, 150, 151, 255) == [VOID, 0, 149, ILLEGAL, ILLEGAL]


def test_coco_stuff_closes_the_gaps_of_coco():
    # COCO ids 1, 11, 13, 90 are person, fire hydrant, stop sign, toothbrush; 92 is banner, 182 wood; maps store id - 1.
    named = {0: "person", 10: "fire hydrant", 12: "stop sign", 89: "toothbrush", 91: "banner", 181: "wood"}
    assert [CLASSES["coco_stuff"][k] for k in ids("coco_stuff", *named)] == list(named.values())
    assert ids("coco_stuff", 255, 11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90, 182, 254) == [VOID] + 13 * [ILLEGAL]


def test_pascal_context_keeps_59_of_459_and_the_rest_is_background():
    # Numbers in the published labels.txt.
    named = {2: "aeroplane", 23: "bicycle", 258: "motorbike", 397: "table", 415: "track", 458: "wood", 1: "background"}
    assert [CLASSES["pascal_context"][k] for k in ids("pascal_context_459", *named)] == list(named.values())
    assert ids("pascal_context_459", 0, 459, 460, 65535) == [0, 0, ILLEGAL, ILLEGAL]
    assert sorted(set(RULES["pascal_context_459"].tolist())) == [*range(60), ILLEGAL]


def test_pascal_context_counts_exactly_the_59_labels_of_its_publication():
    counting = np.flatnonzero((RULES["pascal_context_459"] > 0) & (RULES["pascal_context_459"] != ILLEGAL)).tolist()
    assert counting == [
        *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159),
        *(162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397),
        *(415, 416, 420, 424, 427, 440, 445, 454, 458),
    ]
    assert ids("pascal_context_459", *counting) == list(range(1, 60))


def test_class_ids_pass_as_they_are():
    mask = np.array([[0, 20, 255]], dtype=np.uint8)
    assert class_ids(mask, "ids") is mask


def test_illegal_values_are_those_beyond_the_classes_that_are_not_void():
    mask = np.array([[0, 20, 255], [21, 254, 21]], dtype=np.uint8)
    assert illegal(mask, "ids", 21) == [21, 254] and illegal(mask[:1], "ids", 21) == []
    assert illegal(mask, "ade20k", 150) == [254, 255] and illegal(mask, "coco_stuff", 171) == [254]


def test_legal_values_are_written_as_ranges():
    assert legal("ids", 21) == "0-20, 255" and legal("ade20k", 150) == "0-150"
    assert legal("coco_stuff", 171).startswith("0-10, 12-24, 26-27, 30-43") and legal("pascal_context_459", 60) == "0-459"


def test_rule_follows_kind_and_file():
    assert rule_of("pascal_context", "trainval/a.mat") == "pascal_context_459"
    assert rule_of("pascal_context", "SegmentationClassContext/a.png") == "ids"
    assert rule_of("ade20k", "a.png") == "ade20k" and rule_of("coco_stuff", "a.png") == "coco_stuff"
    assert {rule_of(kind, "a.png") for kind in ("voc", "scenes", "folder")} == {"ids"}
