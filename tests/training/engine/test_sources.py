"""A digest of sources changes with their bytes and their names, and with nothing else."""

import cribo
from cribo.training.engine.sources import digest_of_sources


def test_every_module_of_a_folder_counts_and_so_do_names(tmp_path, monkeypatch):
    monkeypatch.setattr(cribo, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "deep/er").mkdir(parents=True)
    files = [tmp_path / "one.py", tmp_path / "deep/two.py", tmp_path / "deep/er/three.py"]
    for file in files:
        file.write_text("same = 1\n")
    before = digest_of_sources(["one.py", "deep"])
    seen = {before}
    (tmp_path / "deep/notes.txt").write_text("no module")
    assert digest_of_sources(["one.py", "deep"]) == before
    for file in files:
        file.write_text("same = 2\n")
        seen.add(digest_of_sources(["one.py", "deep"]))
    files[0].rename(tmp_path / "other.py")
    seen.add(digest_of_sources(["other.py", "deep"]))
    assert len(seen) == 5
