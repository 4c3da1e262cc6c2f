"""Text as Vespa sees it: tokens, stems, and the query language.

fields.py        The text fields of a document: caption, affirmed and negated words
kstem.py         Krovetz's stemmer as in Vespa
negation.py      Find the negated words of a caption
query_syntax.py  Parse query operators: phrases, +must, -not, field:value
synonyms.py      Other words for what a query says, from a file in Solr's format
tokens.py        Tokenise text as Vespa's default English linguistics does: tokens, accents, stems
"""
