"""Dense nearest-neighbour retrieval (§4.1, Table 1).

retrieval.py       subsample.py          from patch neighbours to pixels and mIoU; which training images the memory holds
result.py                                the result file
"""
