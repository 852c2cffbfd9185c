"""Exact nearest neighbours and their votes.

search.py          shared_search.py      search in memory; search among keys on disk or in several processes
vote.py                                  the votes of a query's neighbours
"""
