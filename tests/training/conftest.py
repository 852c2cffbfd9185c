"""A training run of seconds: a few noise photos, the demo's backbone at 32 px."""

import numpy as np
import pytest
from PIL import Image

from cribo import params, plan
from cribo.data.prepared.readers import PreparedSet, Record


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(26):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    records = tuple(Record(str(i), folder / f"{i}.png", None, 40, 40) for i in range(26))
    return PreparedSet("noise", ("background",), 255, "0" * 64, {"train": records, "val": ()}, "", "")


SMALL = {
    "views": {"size": 32},
    "drop_path": 0.1,
    "head": {"hidden": 16, "bottleneck": 8, "prototypes": 24},
    "clustering": {"K": 4, "normalise_images": 4},
    "matching": {"pool_images": 4, "first_epoch": 1},
    "memory_bank": {"images": 12},
    "targets": {"teacher_temperature": [0.04, 0.07], "warmup_epochs": 2, "mean_images": 8},
    "optimisation": {"epochs": 3, "batch_size": 8, "warmup_epochs": 1},
}  # 3 steps an epoch, 9 in all


@pytest.fixture
def settings():
    """The plan of the demo's cribo, made small."""
    return params.merged(plan.pretrain_settings(params.load("recipes/demo.yaml").model("cribo")), SMALL)


@pytest.fixture
def compute():
    return params.load("recipes/demo.yaml").compute.model_copy(update={"workers": 0, "log_steps": 1, "checkpoint_steps": 2})
