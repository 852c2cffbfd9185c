"""Generated scenes: pure functions of (seed, split, index), legal labels, classes that no single cue tells."""

from collections import Counter

import numpy as np
import pytest

from cribo.data.preparation.scenes import CLASSES, FAVOURED, PAIRS, render


@pytest.fixture(scope="module")
def scenes():
    return [render(96, (2, 5), 0, "train", index) for index in range(60)]


def test_image_is_a_pure_function_of_seed_split_and_index(scenes):
    again = render(96, (2, 5), 0, "train", 7)
    assert np.array_equal(again.image, scenes[7].image) and np.array_equal(again.instances, scenes[7].instances)
    others = (render(96, (2, 5), 1, "train", 7), render(96, (2, 5), 0, "val", 7), render(96, (2, 5), 0, "train", 8))
    assert all(not np.array_equal(other.image, again.image) for other in others)


def test_two_to_five_objects_each_largely_visible(scenes):
    assert {len(scene.objects) for scene in scenes} == {2, 3, 4, 5}
    for scene in scenes:
        assert set(np.unique(scene.instances)) == set(range(len(scene.objects) + 1))
    assert min(placed.visible for scene in scenes for placed in scene.objects) >= 0.25
    assert np.mean([placed.visible for scene in scenes for placed in scene.objects]) > 0.75


def test_objects_extend_about_20_to_55_px(scenes):
    extents = []
    for scene in scenes:
        for number, placed in enumerate(scene.objects, 1):
            if placed.visible > 0.95:
                extents.append(max(np.ptp(axis) + 1 for axis in np.nonzero(scene.instances == number)))
    assert np.quantile(extents, 0.05) >= 18 and np.quantile(extents, 0.95) <= 57


def test_mask_holds_the_objects_classes_and_void(scenes):
    for scene in scenes:
        mask = scene.mask()
        assert mask.dtype == np.uint8 and mask.shape == scene.instances.shape
        assert set(np.unique(mask)) <= {0, 255, *(placed.category for placed in scene.objects)}
        for number, placed in enumerate(scene.objects, 1):
            assert set(np.unique(mask[scene.instances == number])) <= {placed.category, 255}


def test_void_line_surrounds_each_visible_region_and_is_one_pixel_wide(scenes):
    for scene in scenes[:10]:
        ids, mask = np.pad(scene.instances.astype(int), 1, mode="edge"), scene.mask()
        four = (ids[:-2, 1:-1], ids[2:, 1:-1], ids[1:-1, :-2], ids[1:-1, 2:])
        touches_nearer = np.any([neighbour > scene.instances for neighbour in four], axis=0)
        assert np.array_equal(mask == 255, touches_nearer) and touches_nearer.any()


def test_all_classes_and_all_their_pairs_appear(scenes):
    seen = Counter(placed.category for scene in scenes for placed in scene.objects)
    assert set(seen) == set(range(1, 13)) and len(set(CLASSES)) == 13


def test_every_cue_is_shared_by_exactly_two_classes():
    for cue in (0, 1):
        assert set(Counter(pair[cue] for pair in PAIRS).values()) == {2}
    assert len(set(PAIRS)) == 12


def test_types_of_scene_favour_every_class_equally_and_no_two_that_share_a_cue():
    assert set(Counter(c for favoured in FAVOURED for c in favoured).values()) == {2}
    for favoured in FAVOURED:
        outlines, textures = zip(*(PAIRS[c] for c in favoured), strict=True)
        assert len(set(outlines)) == len(outlines) and len(set(textures)) == len(textures)


def test_colour_says_nothing_about_the_class():
    """Mean colours of classes differ no more than chance: their spread is small beside that of objects of one class."""
    colours: dict[int, list] = {}
    for index in range(300):
        scene = render(48, (2, 5), 3, "train", index)
        for number, placed in enumerate(scene.objects, 1):
            colours.setdefault(placed.category, []).append(scene.image[scene.instances == number].mean(0))
    within = np.mean([np.var(of, axis=0).mean() for of in colours.values()])
    between = np.var([np.mean(of, axis=0) for of in colours.values()], axis=0).mean()
    assert between < 0.1 * within


@pytest.mark.parametrize("size", [32, 64, 200])
def test_any_size_renders(size):
    scene = render(size, (1, 3), 0, "val", 0)
    assert scene.image.shape == (size, size, 3) and 1 <= len(scene.objects) <= 3


def test_a_crowd_renders_with_as_many_objects_as_asked():
    scene = render(96, (30, 30), 0, "train", 0)
    assert len(scene.objects) == 30
