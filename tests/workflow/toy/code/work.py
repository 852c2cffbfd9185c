"""A stage: its output is a digest of its inputs. What it did is appended to ran.log, one stage a line.

TOY_FAIL names a stage that fails, TOY_WAIT one that waits for the file `go`.
"""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path


def main(output: str, inputs: list[str]) -> None:
    stage = os.environ["DVC_STAGE"]
    waits = os.environ.get("TOY_WAIT") == stage
    if waits:  # before ran.log says that the stage is at work: from then on a signal may come
        signal.signal(signal.SIGTERM, saved)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text("half")
    with open("ran.log", "a") as log:
        log.write(f"{stage}\n")
    while waits and not Path("go").exists():
        time.sleep(0.05)
    if os.environ.get("TOY_FAIL") == stage:
        sys.exit(f"{stage} is broken on purpose")
    digest = hashlib.md5(b"".join(Path(i).read_bytes() for i in inputs)).hexdigest()
    Path(output).write_text(f'{{"digest": "{digest}"}}\n')


def saved(*_: object) -> None:
    """Longer than a kill in passing: the state is whole only if everybody waited."""
    time.sleep(0.5)
    Path("state").write_text("whole")
    if "CRIBO_JOB" in os.environ:
        Path(os.environ["CRIBO_REQUEUE"]).touch()
    sys.exit(143)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
