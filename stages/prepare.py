"""python -m stages.prepare NAME: make data/NAME from its settings in results/plan/data/NAME.yaml."""

from __future__ import annotations

import argparse
import sys

from cribo import plan
from cribo.command import sentence
from cribo.data.prepare import prepare


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stages.prepare", description=__doc__)
    parser.add_argument("name", help="a data set in params.yaml")
    name = parser.parse_args(arguments).name
    try:
        prepare(name, plan.read(f"data/{name}"))
    except (ValueError, OSError) as error:  # DataError, ParamsError: sentences for the user, not faults of the program
        print(sentence(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
