"""What our experiment has, read from files and checked.

planned.py        results.py             the results and table rows that params.yaml asks for; the results that exist
curves.py         photos.py              what was logged during training; how many photos a model saw
step_benchmark.py                        what benchmarks/step.py measured
description.py                           parameters, costs, versions
"""
