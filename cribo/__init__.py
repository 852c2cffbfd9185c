"""CrIBo (ICLR 2024), from photos to tables. Each folder imports only from those above it:

    params/        params.yaml: what to learn and how to judge it, checked as a whole (also reads three tables of model/)
    data/          photos -> two augmented views with patch positions
    method/        the paper's equations, on tensors
    model/         backbones and heads, weights in and out
    training/      the training loop, and what lets it be stopped, resumed and spread over processes
    evaluation/    the protocols
    examples/      pictures of an encoder at work
    report/        tables, figures, the page

    plan.py        params.yaml -> what each stage reads      fidelity.py     where paper and released code differ
    launch.py      one process per GPU                       measure.py      what a training step costs
    pace.py        how fast a training is on this machine, from a few steps
    command.py     how a command ends when the user, a file or the machine is at fault

Commands for people, `python -m cribo.NAME --help`:

    recipe.py      named experiments                         recipe_grid.py  a recipe's many models in a few lines
    doctor.py      is this machine fit for params.yaml?      evaluate.py     any weights, without the workflow
    inspect.py     what is in a file of weights              replay.py       repeats a training whose loss was not finite
"""
