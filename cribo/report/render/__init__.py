"""A table as text.

to_markdown.py    to_csv.py              one function each
to_latex.py       to_html.py
symbols.py                               L_cv^g and λ_pos in HTML and TeX
"""
