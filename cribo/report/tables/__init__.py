"""The paper's value beside ours.

table.py                                 a table, whatever it is written as
counterparts.py   ours.py                which model of ours stands opposite a value of the paper's, and its score
cautions.py       training_notes.py      the notes below it: what was judged, and what trained, otherwise than in the paper
dense_nn.py       segmentation.py        tables of an experiment, by protocol
single_value.py
paper.py          runtime.py             the paper's Tables 1 to 12, cell by cell
every.py          score_list.py          all of them; every score on a line
"""
