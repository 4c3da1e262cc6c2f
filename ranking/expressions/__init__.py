"""Ranking expressions: parsed once, evaluated over arrays, written for Vespa.

compiler.py    Compile expression trees to closures over numpy arrays
deployed.py    Rewrite expressions so that Vespa's deployment does not change their value
expression.py  The public API of ranking expressions: parse and evaluate
functions.py   The functions of the language over float64 arrays, as in Vespa's Java evaluator
inline.py      Inline functions, check names, rename features
monotone.py    Whether a first phase never decreases as BM25 and closeness increase
parser.py      Parser of the supported part of Vespa's ranking-expression language
tokens.py      Lexer of ranking expressions, as in Vespa's parser
tree.py        Nodes of the expression tree, and how they are written as text
intervals.py   Interval arithmetic with monotonicity
"""
