"""The paper's value beside ours.

table.py                                 a table, independent of its output format
counterparts.py   ours.py                which of our models corresponds to a value of the paper, and its score
cautions.py       training_notes.py      notes below a table: where evaluation or training differs from the paper's
dense_nn.py       segmentation.py        tables of an experiment, by protocol
single_value.py
paper.py          runtime.py             the paper's Tables 1 to 12, cell by cell
every.py          score_list.py          all tables; every score, one per line
"""
