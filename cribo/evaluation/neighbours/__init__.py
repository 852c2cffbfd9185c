"""Exact nearest neighbours, and what they say.

search.py          shared_search.py      in memory; among keys on disk or in several processes
vote.py                                  the votes of neighbours
"""
