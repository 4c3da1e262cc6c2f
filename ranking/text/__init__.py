"""Text as Vespa sees it: tokens, stems, and the query language.

fields.py        The text fields of a document: caption, what it affirms, what it negates
kstem.py         Krovetz's stemmer as Vespa has it: the port to Java that came from Lucene
negation.py      Which words of a caption tell of something that is absent
query_syntax.py  The query language for those who ask for it: phrases, +must, -not, field:value
tokens.py        Text as Vespa's default English linguistics sees it: tokens, accents, stems
"""
