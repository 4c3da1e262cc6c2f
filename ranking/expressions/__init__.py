"""Ranking expressions: parsed once, evaluated over arrays, written for Vespa.

compiler.py    Trees of ranking expressions to closures over numpy arrays
deployed.py    Expressions that mean in a deployed application what they mean here
expression.py  Ranking expressions: parsed once, evaluated over arrays of documents
functions.py   The functions of ranking expressions over float64 arrays, as Vespa's Java evalu
inline.py      Functions put into expressions, names checked, features renamed: trees to trees
monotone.py    Whether a first phase can only rise with BM25 and with closeness
parser.py      Text -> tree, for the part of Vespa's ranking-expression language that we evalu
tokens.py      Text -> tokens of a ranking expression, as the lexer of Vespa's own parser cuts
tree.py        Nodes of a ranking expression, and how they are written
intervals.py   Intervals of values, and whether a value is monotone in what it is computed from
"""
