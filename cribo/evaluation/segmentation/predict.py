"""Sliding-window prediction on a validation split, and its mean IoU as mmsegmentation counts it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int, UInt8
from mmcv.transforms import Resize
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader, Dataset

from cribo.data.batches.workers import start_worker
from cribo.data.prepared.readers import Record
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.miou import IoU, confusion
from cribo.evaluation.segmentation.crops import read_photo
from cribo.training.engine.distributed import World

Photo = tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "H W"]]


class Photos(Dataset):
    """Validation photos (BGR) fitted into `scale`, each with its mask at the photo's own size."""

    def __init__(self, records: Sequence[Record], scale: Sequence[int], classes: int, ignore: int):
        self.records, self.classes, self.ignore = records, classes, ignore
        self.resize = Resize(scale=tuple(scale), keep_ratio=True)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i: int) -> Photo:
        image, mask = read_photo(self.records[i], self.classes, self.ignore)
        return self.resize({"img": image})["img"], mask


@torch.no_grad()
def predict(model: EncoderDecoder, image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """Predict the class of each pixel of the photo from the mean of the windows' logits, enlarged bilinearly to `size`."""
    sample = SegDataSample(metainfo={"ori_shape": size, "img_shape": image.shape[:2], "pad_shape": image.shape[:2]})
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    data = model.data_preprocessor({"inputs": [pixels], "data_samples": [sample]}, training=False)
    (found,) = model.predict(data["inputs"], data["data_samples"])
    return found.pred_sem_seg.data[0].to(torch.uint8).cpu().numpy()


def judge(model: EncoderDecoder, photos: Photos, workers: int, world: World, what: str) -> Int[np.ndarray, "C C"]:
    """Return the confusion matrix (rows: truth) of all photos, on every process; the processes share the photos."""
    model.eval()
    own = range(world.rank, len(photos), world.size)
    loader = DataLoader(photos, batch_size=None, sampler=own, num_workers=workers, worker_init_fn=start_worker)
    progress, matrix = Progress(f"val on {what}", len(own)), np.zeros((photos.classes,) * 2, np.int64)
    for image, mask in loader:
        image, mask = np.asarray(image), np.asarray(mask)
        matrix += confusion(mask, predict(model, image, mask.shape), photos.classes, photos.ignore)
        if world.main:
            progress.add(1)
    return world.sum(torch.from_numpy(matrix).to(world.device)).cpu().numpy()


def mean_iou(matrix: Int[np.ndarray, "C C"]) -> IoU:
    """Return mmsegmentation's mIoU: the mean over the classes that occur in the ground truth or in a prediction.

    A class that is predicted but absent from the ground truth counts as 0. The full validation sets contain every class.

    Raises:
        EvaluationError: nothing was counted.
    """
    hit = matrix.diagonal()
    union = matrix.sum(0) + matrix.sum(1) - hit
    counted = union > 0
    if not counted.any():
        raise EvaluationError("the val split has no labelled pixel: its masks are void everywhere")
    per_class = np.full(len(matrix), np.nan)
    per_class[counted] = hit[counted] / union[counted]
    return IoU(per_class, float(per_class[counted].mean()), int(counted.sum()))
