"""Batches of two augmented views of each photo; they depend on the seed, but not on the number of workers.

views.py          positions.py                   two views of a photo; where each of their patches lies in it
loader.py         workers.py                     batches of views; the worker processes that make them
streams.py                                       random numbers that are functions of the seed
"""
