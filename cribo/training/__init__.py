"""Pretraining: one loop, and what it needs to be stopped, resumed and spread over processes without changing its result.

run.py            loop.py                from settings to files; the loop, from top to bottom
course.py                                what a step reads of the settings
update.py         mae_update.py          one step of optimisation, of CrIBo and of MAE
optimiser.py      schedules.py           AdamW and the teacher that trails; learning rate, momentum, temperature
state.py          bundle.py              all that a run needs to go on; what is kept of a loss that is no number
acceleration.py                          compilation, recomputed activations, TF32
startup.py        memory.py  flops.py    what a person sees before it starts; how much memory and arithmetic it needs
engine/                                  processes, states, signals and log, for the evaluations that train as well
"""
