"""The bridge between DVC, which remembers, and Snakemake, which schedules.

dvc.yaml alone defines the DAG, and `dvc status` alone decides what is stale. Snakemake sees stamp files that repeat this
verdict, so the two cannot disagree about it. DVC's records are written only on the host where `snakemake` runs, because
DVC's locks name processes of one host; compute nodes only read dvc.yaml and leave a receipt.

    command_line.py what `snakemake` was asked for
    errors.py       the error with a one-sentence message, and lines on stderr
    stages.py       DVC's resolved index, as the graph that rules are made of
    fingerprint.py  digests of what a stage read and what it wrote
    stamps.py       the files that Snakemake looks at
    session.py      one snakemake or one `dvc repro` in a tree at a time
    sync.py         at every start: head stages, verdicts, stamps
    head.py         stages such as `plan`, brought up to date before the verdicts
    restore.py      DVC's run cache
    run.py          a stage's command, on the compute node
    relay.py        signals to that command, Slurm's questions
    devices.py      the GPUs that a stage may use
    account.py      what a stage cost: time and memory
    alive.py        is a stage still being computed by somebody?
    record.py       records a finished stage in DVC, on the host of `snakemake`
    cutoff.py       keeps dependants whose inputs came out the same from being submitted
    resources.py    workflow/resources.yaml in Slurm's terms
    preflight.py    refuses requests that the cluster cannot meet, before anything is submitted
    split.py        likewise refuses batches that cannot be split over the processes of a training
"""
