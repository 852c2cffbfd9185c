"""DVC remembers, Snakemake schedules: what the two need to know of each other.

dvc.yaml is the only definition of the DAG and `dvc status` the only verdict. Snakemake sees stamp files that repeat this
verdict, so the two cannot disagree about what is stale. Every call into DVC's books is made on the host where
`snakemake` runs, because DVC's locks name processes of one host; compute nodes read dvc.yaml and leave a receipt.

    command_line.py what `snakemake` was asked for
    errors.py       the error that is one sentence, and the lines on stderr
    stages.py       DVC's resolved index, as the graph that rules are made of
    fingerprint.py  what a stage read, and what it wrote
    stamps.py       the files that Snakemake looks at
    session.py      one snakemake or one `dvc repro` in a tree at a time
    sync.py         at the start: head stages, verdicts, stamps
    head.py         stages such as `plan`, brought up to date before the verdicts
    restore.py      DVC's run cache
    run.py          a stage's command, on the compute node
    relay.py        signals to that command, Slurm's questions
    devices.py      the GPUs that a stage may use
    account.py      what it cost: time and memory
    alive.py        is a stage still being computed by somebody?
    record.py       the books after a stage, on the host of `snakemake`
    cutoff.py       dependants whose inputs came out the same are not submitted
    resources.py    workflow/resources.yaml in the words of Slurm
    preflight.py    requests that the cluster cannot meet are refused before anything is submitted
    split.py        so are batches that cannot be split over the processes of a training
"""
