"""The engine under every training here: pretraining, the segmentation decoders and YOLOS.

distributed.py                           one process, or several started by torchrun
state_file.py     checkpoint.py          a state as one file; the saved states of a run
resume.py         sources.py             which state a run resumes from; which of our files decide a result
interruption.py   finite.py              SIGTERM and Ctrl-C; a loss that is not finite
log.py                                   what a run prints and records
"""
