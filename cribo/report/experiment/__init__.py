"""What our experiment has, read from files and checked.

planned.py        results.py             the results and rows that it asks for; the results that it has
curves.py         photos.py              what was logged while training; how many photos a model saw
step_benchmark.py                        what benchmarks/step.py measured
description.py                           parameters, costs, versions
"""
