"""A disk that fills up while a state is written: on a real, small file system."""

import subprocess

import pytest

from cribo.training.loop import train
from tests.training.runs import ALONE, made, same


@pytest.fixture
def disk(tmp_path):
    """A function that makes, or resizes, a file system of so many bytes and returns its folder."""
    folder, mounted = made(tmp_path / "disk"), []

    def sized(size):
        options = f"size={size},{'remount' if mounted else 'nosuid'}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode and not mounted:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        mounted.append(size)
        return folder

    yield sized
    if mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("background", [False, True])
def test_training_stops_with_a_sentence_and_goes_on_from_the_state_before_once_there_is_room(
    tmp_path, settings, photos, compute, disk, background, capfd
):
    records, compute = list(photos.splits["train"]), compute.model_copy(update={"save_in_background": background})
    expected = train(settings, records, made(tmp_path / "whole"), compute, ALONE).to_dict()
    state = max(path.stat().st_size for path in (tmp_path / "whole").glob("state-*.pt"))

    folder = disk(int(2.5 * state))  # two states are kept while the third is written
    with pytest.raises(OSError, match=r"after step 6 could not be saved .*No space left.* goes on from state-00000004.pt"):
        train(settings, records, folder, compute, ALONE)
    assert sorted(path.name for path in folder.glob("state-*")) == ["state-00000002.pt", "state-00000004.pt"]

    disk(4 * state)
    capfd.readouterr()
    same(train(settings, records, folder, compute, ALONE).to_dict(), expected)
    assert "resuming after step 4 of 9" in capfd.readouterr().err
