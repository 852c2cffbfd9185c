"""What all protocols share.

stage.py          compute.py             what their stages do; one process or torchrun's
read_ahead.py     progress.py            files decoded while others are encoded; how far it is
result.py         errors.py              the result file; what is refused
"""
