"""Batches of two augmented views of each photo: functions of the seed, whatever the number of workers.

views.py          positions.py                   two views of a photo; where each of their patches lies in it
loader.py         workers.py                     batches of them; the processes that make these
streams.py                                       random numbers that are functions of the seed
"""
