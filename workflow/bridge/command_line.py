"""Find out what `snakemake` was asked for: while the Snakefile is read, the workflow object does not say it yet."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO

from snakemake.cli import parse_args

from workflow.bridge.cutoff import RUN

LOOKS = (
    "dryrun",
    "dag",
    "rulegraph",
    "filegraph",
    "d3dag",
    "summary",
    "detailed_summary",
    "list_rules",
    "list_target_rules",
    "list_input_changes",
    "list_params_changes",
    "list_changes",
    "report",
    "lint",
    "unlock",
    "touch",
    "cleanup_metadata",
    "archive",
    "print_compilation",
    "containerize",
)


@dataclass(frozen=True)
class CommandLine:
    """`dry`: nothing is to be computed. `executor`: None for this machine. `partition`: for stages that name none.
    `forced`: rules to run again whatever DVC says, None for all of them."""

    text: str
    dry: bool
    executor: str | None
    partition: str | None
    forced: frozenset[str] | None

    def forces(self, stage: str) -> bool:
        """Whether the user asks to compute the stage again: `-R` or `-f` with its name or its group's, or `-F`."""
        return self.forced is None or not self.forced.isdisjoint({stage, RUN + stage, stage.partition("@")[0]})


def command_line() -> CommandLine:
    """The command line with the profiles taken into account, which only Snakemake's own parser does."""
    with redirect_stderr(StringIO()):  # Snakemake has already said which profiles it uses
        _, args = parse_args(sys.argv[1:])
    text = " ".join(["snakemake", *sys.argv[1:]])
    defaults = dict(arg.split("=", 1) for arg in args.default_resources.args) if args.default_resources else {}
    partition = defaults.get("slurm_partition", "")
    plain = re.fullmatch(r"[\w.,-]+", partition)  # else an expression, which Snakemake evaluates for each job
    dry = any(getattr(args, look, None) for look in LOOKS)
    forced = None if args.forceall else frozenset({*args.forcerun, *(args.targets if args.force else ())})
    return CommandLine(text, dry, args.executor, partition if plain else None, forced)
