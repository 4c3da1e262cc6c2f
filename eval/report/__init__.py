"""The report folder.

evaluation.py  An evaluation as a whole, as rows for programs and as a table for people
explorer.py    What the report's explorer shows: chosen queries, their result lists, and small
figures.py     Which plots a report has, and what they show
page.py        What report.html is filled with, and how the templates are read
plots.py       Plots as SVG text: sharp at every size, dark or light, and nothing to load
provenance.py  Where figures come from: what was evaluated, with which versions, by which comm
report.py      The report folder, written whole or not at all
summary.py     The headline in sentences: what won, by how much, and how sure that is
"""
