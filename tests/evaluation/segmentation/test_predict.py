"""Sliding windows and mean IoU against restatements, and against mmsegmentation's own metric."""

import cv2
import numpy as np
import pytest
import torch
from mmseg.evaluation.metrics import IoUMetric
from torch.nn import functional as F

from cribo.data.prepared.images import read_image, read_mask
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.segmentation import decoders
from cribo.evaluation.segmentation.predict import Photos, judge, mean_iou, predict
from cribo.training.engine.distributed import World

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture
def model(own_encoder, segmenter_settings):
    model = decoders.segmenter(own_encoder, segmenter_settings, 4, 255).eval()
    with torch.no_grad():  # a decoder that sees differences
        for p in model.decode_head.parameters():
            p.add_(0.5 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return model


def restated(model, encoder, record):
    """The prediction of one photo with windows in loops; window 32 every 24 px, photos fitted into 128 × 40."""
    photo = read_image(record.image)
    h, w = photo.shape[:2]
    factor = min(128 / max(h, w), 40 / min(h, w))
    size = (int(w * factor + 0.5), int(h * factor + 0.5))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_LINEAR)
    x = torch.from_numpy((small / 255 - np.array(encoder.mean)) / np.array(encoder.std)).float().permute(2, 0, 1)[None]
    H, W = x.shape[2:]
    total, count = torch.zeros(1, 4, H, W), torch.zeros(H, W)

    def starts(side):
        found, start = [], 0
        while True:
            found.append(max(0, min(start, side - 32)))
            if start + 32 >= side:
                return found
            start += 24

    for top in starts(H):
        for left in starts(W):
            window = x[:, :, top : top + 32, left : left + 32]
            with torch.no_grad():
                maps = model.decode_head(model.backbone(window))
            total[:, :, top : top + 32, left : left + 32] += F.interpolate(maps, window.shape[2:], mode="bilinear")
            count[top : top + 32, left : left + 32] += 1
    assert count.min() == 1 and count.max() > 1
    return F.interpolate(total / count, (h, w), mode="bilinear")[0].argmax(0).numpy()


def predictions(model, photos):
    data = Photos(photos.splits["val"], [128, 40], 4, 255)
    return [(mask, predict(model, image, mask.shape)) for image, mask in (data[i] for i in range(len(data)))]


def test_sliding_windows_equal_a_restatement(model, own_encoder, photos):
    for record, (mask, found) in zip(photos.splits["val"], predictions(model, photos), strict=True):
        assert (mask == read_mask(record.mask)).all()
        wanted = restated(model, own_encoder, record)
        assert len(np.unique(found)) > 1
        assert (found == wanted).mean() > 0.999  # sums in another order decide a tie another way


def test_mean_iou_equals_loops_and_mmsegmentation_s_metric_on_the_same_predictions(model, photos):
    pairs = predictions(model, photos)
    found = mean_iou(judge(model, Photos(photos.splits["val"], [128, 40], 4, 255), 0, ALONE, "photos"))
    ious = []
    for c in range(4):
        hit = sum(int(((t == c) & (p == c)).sum()) for t, p in pairs)
        union = sum(int((((t == c) | (p == c)) & (t != 255)).sum()) for t, p in pairs)
        ious.append(hit / union if union else float("nan"))
    np.testing.assert_allclose(found.per_class, ious, rtol=1e-12)
    assert found.mean == pytest.approx(np.nanmean(ious), rel=1e-12)

    metric = IoUMetric(iou_metrics=["mIoU"])
    metric.dataset_meta = {"classes": list(photos.classes)}
    samples = [
        {"pred_sem_seg": {"data": torch.from_numpy(p).long()[None]}, "gt_sem_seg": {"data": torch.from_numpy(t)[None]}}
        for t, p in pairs
    ]
    metric.process({}, samples)
    theirs = metric.compute_metrics(metric.results)
    assert theirs["mIoU"] == round(100 * found.mean, 2)


def test_a_class_that_is_predicted_and_never_there_counts_as_nothing_hit():
    matrix = np.array([[3, 0, 1], [0, 0, 0], [0, 0, 4]])
    matrix[0, 1] = 2
    found = mean_iou(matrix)
    assert found.per_class.tolist() == [0.5, 0.0, 0.8] and found.occurring == 3
    assert np.isnan(mean_iou(np.diag([1, 0, 1])).per_class[1]) and mean_iou(np.diag([1, 0, 1])).mean == 1.0


def test_a_split_that_is_void_everywhere_is_refused():
    with pytest.raises(EvaluationError, match="no labelled pixel"):
        mean_iou(np.zeros((3, 3), np.int64))


def test_workers_and_shares_change_no_count(model, photos):
    data = Photos(photos.splits["val"], [128, 40], 4, 255)
    whole = judge(model.train(), data, 0, ALONE, "photos")  # as training leaves it, with its drop path

    class Share(World):
        def sum(self, x):
            return x

    parts = [judge(model, data, 1, Share(rank, 2, torch.device("cpu")), "photos") for rank in range(2)]
    assert (whole == sum(parts)).all() and whole.sum() == sum((t != 255).sum() for t, _ in predictions(model, photos))


@pytest.mark.parametrize(("key", "value"), [("window", 24), ("stride", 8), ("statistics", "half")])
def test_every_parameter_of_the_test_acts(own_encoder, segmenter_settings, photos, key, value):
    image, _ = Photos(photos.splits["val"], [128, 40], 4, 255)[1]
    logits = []
    for settings in (segmenter_settings, {**segmenter_settings, key: value}):
        model = decoders.segmenter(own_encoder, settings, 4, 255).eval()
        data = model.data_preprocessor({"inputs": [torch.from_numpy(image).permute(2, 0, 1)], "data_samples": None})
        with torch.no_grad():
            logits.append(model.inference(data["inputs"], [{"ori_shape": image.shape[:2]}]))
    assert not torch.allclose(*logits)
