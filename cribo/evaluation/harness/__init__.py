"""What all protocols share.

stage.py          compute.py             what a protocol's stage does; one process, or several under torchrun
read_ahead.py     progress.py            decoding files while others are encoded; progress and time left
result.py         errors.py              the result file; inputs that are refused
"""
