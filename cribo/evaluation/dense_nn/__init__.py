"""Dense nearest-neighbour retrieval (§4.1, Table 1).

retrieval.py       subsample.py          each patch's neighbours, pixels, mIoU; which training images the memory holds
result.py                                the result file
"""
