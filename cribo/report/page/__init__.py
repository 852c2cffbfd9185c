"""results/report.html, one self-contained page, and the figures on it.

overview.py       markup.py              the page; pieces of HTML
charts.py         figures.py             line and bar charts; the figures of an experiment
example_pages.py                         pictures of an encoder at work
"""
