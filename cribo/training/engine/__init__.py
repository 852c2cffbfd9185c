"""What any training here runs on: pretraining, the segmentation decoders and YOLOS.

distributed.py                           one process, or torchrun's
state_file.py     checkpoint.py          a state as one file; the saved states of a run
resume.py         sources.py             which of them it goes on from; which of our files decide a result
interruption.py   finite.py              SIGTERM and Ctrl-C; a loss that is no number
log.py                                   what a person sees while it runs
"""
