"""Write a text with operators as YQL.

Vespa's own query language is not used: what it takes for an operator, and what for an error, is
not what the embedded engine does. Every word is a parameter here too.
"""

from __future__ import annotations

from collections.abc import Callable

from ranking.text.query_syntax import Asked, Phrase

__all__ = ["TOKEN", "having", "operators_clause"]

# The words are tokens and stems already.
TOKEN = "stem: false, normalizeCase: false, accentDrop: false, implicitTransforms: false"  # noqa: S105
# Restricts what is found without counting for bm25 once more.
_SILENT = f"ranked: false, {TOKEN}"

Reference = Callable[[str], str]


def operators_clause(asked: Asked, conditions: list[str], name: str, reference: Reference) -> str:
    """Documents with any of the words, as far as they fit all else; "" if there are no words.

    conditions: the text's filters as YQL. name: the text field. reference: a word -> how it
    stands in the YQL.
    """
    if not asked.terms:
        return ""
    words = [f"{name} contains ({{{TOKEN}}}{reference(term)})" for term in asked.terms]
    parts = [f"({' or '.join(words)})"]
    parts += [having(phrase, name, reference) for phrase in asked.must]
    parts += conditions
    parts += [f"!({having(phrase, name, reference)})" for phrase in asked.must_not]
    return f"({' and '.join(parts)})"


def having(phrase: Phrase, name: str, reference: Reference) -> str:
    """Documents whose field `name` has these terms next to each other, for no score."""
    if len(phrase) == 1:
        return f"{name} contains ({{{_SILENT}}}{reference(phrase[0])})"
    words = ", ".join(f"({{{TOKEN}}}{reference(word)})" for word in phrase)
    return f"{name} contains ({{ranked: false}}phrase({words}))"
