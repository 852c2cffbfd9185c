"""Segmentation by training a decoder (§4.2, App. A.2, C.3; Tables 2, 3 and 7), with mmsegmentation as in the paper.

The augmentation, the two decoders, their loss and the sliding window come unchanged from mmsegmentation. The encoder in
front of them and the training loop are ours: mmengine's Runner does not save the random state of its augmentations, so a
resumed run differs from an uninterrupted one. Here every random number is a function of (seed, iteration).

crops.py → backbone.py (with positions.py) → decoders.py → train.py → predict.py → result.py, joined by run.py.
"""

import warnings
from contextlib import redirect_stdout

from mmengine.logging import MMLogger

# On import, these packages report which optional parts are missing; later they log how each weight was initialised.
with warnings.catch_warnings(), redirect_stdout(None):
    warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")
    import mmcv.cnn.bricks.transformer  # noqa: F401
    import mmseg.datasets  # noqa: F401
MMLogger.get_instance("mmengine", log_level="WARNING")
