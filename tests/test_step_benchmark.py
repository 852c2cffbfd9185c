"""benchmarks/step.py as a user runs it, on the smallest recipe."""

import json
import subprocess
import sys


def run(tmp_path, *arguments):
    command = [sys.executable, "benchmarks/step.py", "--recipe", "tiny", "--steps", "1", "--out", str(tmp_path / "step")]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=200)


def test_rows_that_start_side_by_side_are_all_measured(tmp_path):
    done = run(tmp_path, "--only", "overhead", "--images", "4", "--ahead", "2")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "step.json").read_text())["rows"]
    assert list(rows) == ["baseline", "global only"] and all(
        row["seconds"] > 0 and row["images"] == 4 for row in rows.values()
    )
    table = (tmp_path / "step.md").read_text()
    assert table in done.stdout and "| global only | " in table and "| CrIBo, K = 8 | " in table


def test_a_row_that_fails_is_named_with_its_reason(tmp_path):
    done = run(tmp_path, "--only", "--photos", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip() == f"baseline: {tmp_path} has 0 JPEGs, a batch has 16: lower --images or name another folder"
