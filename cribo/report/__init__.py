"""From result files to tables, figures and the page. Everything here is a function of files: nothing is computed anew.

planned.py        results.py             the results that an experiment has; read and checked
paper.py          paper_settings.py      what the paper reports, and how it judged (with a CSV each)
paper_training.py                        how its models were trained (likewise)
paper_notes.py                           where it contradicts itself
counterparts.py   ours.py                which model of ours stands opposite a value of the paper's, and its score
photos.py                                how many photos a model of ours saw
table.py          rows.py                a table, whatever it is written as; models by row
cautions.py       training_notes.py      the notes below it: what was judged, and what trained, otherwise than in the paper
dense_nn_table.py  segmentation_table.py  single_value_tables.py     tables of an experiment, by protocol
paper_tables.py   runtime_table.py       the paper's Tables 1 to 12, cell by cell
every_table.py    score_list.py          all of them; every score on a line
render_markdown.py  render_csv.py  render_latex.py  render_html.py   a table as text
symbols.py                               L_cv^g and λ_pos in HTML and TeX
curves.py         step_benchmark.py      what was logged while training; what benchmarks/step.py measured
charts.py         figures.py             line and bar charts; the figures of an experiment
experiment.py     example_pages.py       parameters, costs, versions; pictures
markup.py         overview.py            pieces of HTML; results/report.html
compare.py        tensorboard.py         commands: beside a git revision; as TensorBoard events
"""
