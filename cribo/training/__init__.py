"""Pretraining: one loop, and what it needs to be stopped, resumed and spread over processes without changing its result.

run.py            loop.py                from settings to files; the loop, from top to bottom
course.py                                the settings that a step reads
update.py         mae_update.py          one optimisation step of CrIBo and of MAE
optimiser.py      schedules.py           AdamW and the teacher's moving average; learning rate, momentum, temperature
state.py          bundle.py              all that a run needs to go on; what is kept when a loss is not finite
acceleration.py                          compilation, recomputed activations, TF32
startup.py        memory.py  flops.py    what a run prints before it starts; how much memory and arithmetic it needs
engine/                                  processes, states, signals and log, also for the evaluations that train
"""
