"""Segmentation by training a decoder (§4.2, App. A.2, C.3; Tables 2, 3 and 7), as in the paper with mmsegmentation.

From mmsegmentation come, unchanged, the augmentation, the two decoders, their loss, and the sliding window. Ours are the
encoder in front of them and the training loop: mmengine's Runner does not keep the random state of its augmentations, so a
run that it resumes is another run; here every random number is a function of (seed, iteration).

crops.py → backbone.py (with positions.py) → decoders.py → train.py → predict.py → result.py, joined by run.py.
"""

import warnings
from contextlib import redirect_stdout

from mmengine.logging import MMLogger

# At import these say which optional parts are not installed, and later how each weight was initialised.
with warnings.catch_warnings(), redirect_stdout(None):
    warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")
    import mmcv.cnn.bricks.transformer  # noqa: F401
    import mmseg.datasets  # noqa: F401
MMLogger.get_instance("mmengine", log_level="WARNING")
