"""Evaluation protocols, each a function of an encoder, a prepared data set and its settings."""

import os

# FAISS and torch bring an OpenMP runtime each, and the idle threads of one spin on the cores that the other needs: on a
# busy machine that makes an evaluation several times slower. Read when the runtime loads, hence before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
