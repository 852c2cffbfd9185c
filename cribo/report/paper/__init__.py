"""The paper's own numbers and settings, each with its place in the paper.

values.py                                results.csv: Tables 1 to 12
settings.py                              settings.csv: how it judged
training.py                              training.csv: how its models were trained
notes.py                                 where it contradicts itself
"""
