"""Many jobs on several processes."""

import os
import signal

from cribo.data.preparation.parallel import each


def interrupted(job):
    """A job during which somebody types Ctrl-C, which reaches every process."""
    os.kill(os.getpid(), signal.SIGINT)
    return job


def test_ctrl_c_is_its_parents_to_answer():
    assert list(each(interrupted, range(5), 2, "x")) == [*range(5)]
