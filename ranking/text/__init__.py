"""Text as Vespa sees it: tokens, stems, and the query language.

kstem.py         Krovetz's stemmer as Vespa has it: the port to Java that came from Lucene
query_syntax.py  The query language for those who ask for it: phrases, +must, -not, field:valu
tokens.py        Text as Vespa's default English linguistics sees it: tokens, accents, stems
"""
