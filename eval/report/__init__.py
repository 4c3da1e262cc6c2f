"""The report folder.

evaluation.py  An evaluation as a whole, as rows for programs and as a table for people
explorer.py    What the report's explorer shows: chosen queries, result lists, small pictures
figures.py     Which plots a report has, and what they show
page.py        What report.html is filled with, and how the templates are read
plots.py       Plots as SVG text: sharp at every size, dark or light, and nothing to load
provenance.py  Where figures come from: what was evaluated, with which versions, by which command
replay.py      runs/: topics, judgements, runs, and how another system is judged on them
report.py      The report folder, written whole or not at all
summary.py     The headline in sentences: which ranking to use, and how sure that is
tables.py      Every table as CSV and LaTeX
"""
