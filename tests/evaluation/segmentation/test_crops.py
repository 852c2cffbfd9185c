"""Training crops: mmsegmentation's own, from random streams that no worker, order or restart changes."""

from pathlib import Path

import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmseg.utils import register_all_modules
from PIL import Image

from cribo import params
from cribo.data.batches.streams import seed_of
from cribo.data.prepared.images import read_image, read_mask
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.segmentation.crops import AUGMENTATION, Crops, load_crops, numpy_stream, read_photo


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_crop_is_a_function_of_its_number_whatever_was_drawn_before(photos, linear_settings):
    crops = Crops(photos.splits["train"], linear_settings, 4, 255)
    first = [crops[n] for n in range(12)]
    np.random.seed(99)
    state = np.random.get_state()[1].copy()
    assert all(same(crops[n], first[n]) for n in reversed(range(12)))
    assert (np.random.get_state()[1] == state).all()
    assert not same(first[0], Crops(photos.splits["train"], {**linear_settings, "seed": 1}, 4, 255)[0])


def test_every_photo_is_shown_once_before_any_is_shown_twice(photos, linear_settings):
    crops = Crops(photos.splits["train"], linear_settings, 4, 255)
    orders = [[crops.photo(5 * epoch + place) for place in range(5)] for epoch in range(8)]
    assert all(sorted(order) == list(range(5)) for order in orders)
    assert len({tuple(order) for order in orders}) > 4


def test_workers_restarts_and_processes_change_nothing(photos, linear_settings):
    crops = Crops(photos.splits["train"], linear_settings, 4, 255)
    whole = list(load_crops(crops, 4, 0, 4, 0, 1, 0))
    assert [len(batch) for batch in whole] == 4 * [4]
    resumed = list(load_crops(crops, 4, 2, 4, 0, 1, 2))
    assert all(same(a, b) for one, two in zip(whole[2:], resumed, strict=True) for a, b in zip(one, two, strict=True))
    shares = [list(load_crops(crops, 4, 0, 4, rank, 2, 0)) for rank in range(2)]
    for n, batch in enumerate(whole):
        assert all(same(a, b) for a, b in zip(batch, shares[0][n] + shares[1][n], strict=True))


def test_the_paper_s_crops_are_those_of_mmsegmentation_s_configuration(photos):
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(Path(mmseg.__file__).parent / ".mim/configs/_base_/datasets/pascal_voc12.py")
    theirs = Compose(config.train_pipeline[2:-1])
    block = params.load("recipes/demo.yaml").evaluate.linear_segmentation.model_copy(update={"datasets": {"any": {}}})
    crops = Crops(photos.splits["train"], block.on("any").model_dump(mode="json"), 4, 255)
    for n in range(16):
        record = photos.splits["train"][crops.photo(n)]
        image, mask = read_image(record.image)[..., ::-1], read_mask(record.mask)
        with numpy_stream(0, AUGMENTATION, n):
            found = theirs({"img": np.ascontiguousarray(image), "gt_seg_map": mask, "seg_fields": ["gt_seg_map"]})
        ours = crops[n]
        assert (ours.image.permute(1, 2, 0).numpy() == found["img"]).all()
        assert (ours.mask[0].numpy() == found["gt_seg_map"]).all()


@pytest.mark.parametrize(
    ("key", "value"), [("crop", 24), ("scale", [128, 64]), ("ratio", [1.0, 1.1]), ("max_class_share", 0.3)]
)
def test_every_parameter_of_a_crop_acts(photos, linear_settings, key, value):
    before, after = (Crops(photos.splits["train"], s, 4, 255) for s in (linear_settings, {**linear_settings, key: value}))
    assert any(before[n].image.shape != after[n].image.shape or not same(before[n], after[n]) for n in range(16))


def test_random_streams_do_not_meet():
    streams = [(seed, purpose, n) for seed in range(3) for purpose in range(4) for n in range(50)]
    assert len({seed_of(*stream) for stream in streams}) == len(streams)


def test_masks_that_cannot_be_are_refused_in_a_sentence(photos, tmp_path):
    record = photos.splits["train"][0]
    with pytest.raises(EvaluationError, match="holds 3, which is neither one of 3 classes nor 255"):
        for r in photos.splits["train"]:
            read_photo(r, 3, 255)
    path = tmp_path / "small.png"
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(path)
    small = type(record)("x", record.image, path, 40, 40)
    with pytest.raises(EvaluationError, match="40 × 40 px, its mask 6 × 4"):
        read_photo(small, 4, 255)
    with pytest.raises(EvaluationError, match="has no mask"):
        read_photo(type(record)("x", record.image, None, 40, 40), 4, 255)
