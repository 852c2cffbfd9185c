"""python -m stages.imports NAME: weights not trained here → results/encoders/NAME/, in the same form as an export."""

from __future__ import annotations

import sys
from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.model.export import write_network
from cribo.model.foreign.load import load


def main(name: str) -> None:
    found = load(plan.read(f"import/{name}"))
    folder = Path("results/encoders") / name
    write_network(found.net, found.architecture, found.args, found.mean, found.std, found.image_size, folder)
    mean, std = ([round(value, 4) for value in values] for values in (found.mean, found.std))
    print(f"{folder}: {found.source}; mean {mean}, std {std}", file=sys.stderr)


if __name__ == "__main__":
    run(main, "python -m stages.imports NAME", 1)
