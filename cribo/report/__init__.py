"""From result files to tables, figures and the page. Everything is derived from files; nothing is recomputed.

paper/            what the paper reports, and how it trained and evaluated, in CSV files
experiment/       what our experiment has: results, curves, costs, parameters
tables/           the paper's value beside ours
render/           a table as Markdown, CSV, LaTeX or HTML
page/             results/report.html and its figures
compare.py        tensorboard.py         commands: compare with a git revision; export to TensorBoard
"""
