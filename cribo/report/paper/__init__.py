"""The paper's own numbers and settings, each with its source.

values.py                                results.csv: Tables 1 to 12
settings.py                              judging.csv, training.csv: how it evaluated, and how its models were trained
notes.py                                 where it contradicts itself
"""
