"""The report folder.

csv_latex.py   Write every table as CSV and LaTeX
columns.py     The columns of a report's tables: results, pairs card, leakage, clusters, seeds
evaluation.py  Everything that a report is made of, and the content of metrics.json
explorer.py    Data of the report's explorer: sample queries, result lists, thumbnails
figures.py     The plots of a report
page.py        Fill the templates of report.html
plots.py       Plots as SVG text, without external resources
provenance.py  Provenance of a report: inputs, versions, command
replay.py      The runs/ folder: files for evaluating another system on the same tasks
report.py      Write the report folder atomically
summary.py     The verdict in sentences: which ranking to use, and how certain that is
"""
