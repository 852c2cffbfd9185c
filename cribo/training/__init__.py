"""Pretraining: one loop, and what it needs to be stopped, resumed and spread over processes without changing its result.

run.py            loop.py                from settings to files; the loop, from top to bottom
update.py         mae_update.py          one step of optimisation, of CrIBo and of MAE
optimiser.py      schedules.py           AdamW and the teacher that trails; learning rate, momentum, temperature
state.py          state_file.py          all that a run needs to go on; as one file
checkpoint.py     resume.py              the saved states of a run; which of them it goes on from
interruption.py   finite.py  bundle.py   SIGTERM and Ctrl-C; a loss that is no number; what is kept of it for cribo.replay
distributed.py    acceleration.py        processes; compilation, recomputed activations, TF32
log.py            startup.py             what a person sees while it runs, and before it starts
memory.py         flops.py               how much memory and arithmetic it needs
sources.py                               which of our files decide a result
"""
