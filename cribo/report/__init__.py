"""From result files to tables, figures and the page. Everything here is a function of files: nothing is computed anew.

paper/            what the paper reports, and how it trained and judged, with a CSV each
experiment/       what our experiment has: results, curves, costs, parameters
tables/           the paper's value beside ours
render/           a table as Markdown, CSV, LaTeX or HTML
page/             results/report.html and its figures
compare.py        tensorboard.py         commands: beside a git revision; as TensorBoard events
"""
