"""Write a query as the body of POST /search/.

Nothing a person typed is ever formatted into YQL: text, filter values and ids travel as
parameters of their own and stand in the YQL as `@text`, `@v0`, `@v1` ... What is formatted are
field names of this package and whole numbers. So the shape of Vespa's query tree depends on the
query's kind alone, which `tests/vespa_app/client_fuzz` checks against Vespa's own parser.
https://docs.vespa.ai/en/reference/querying/yql.html
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ranking.attributes import bounds, told, value_of
from ranking.profiles.profile import inputs_of_query
from ranking.query_checks import check_query, check_types, lacking, vectors_by_field
from ranking.text.query_syntax import read
from ranking.text.tokens import query_terms
from ranking.types import (
    DOCUMENT_FIELDS,
    FILTER_FIELDS,
    TEXTS,
    Attribute,
    Filter,
    Query,
    QueryError,
)
from vespa_app.query.operators import TOKEN, having, operators_clause
from vespa_app.query.text import QueryText, clean
from vespa_app.query.vector import VectorPart, tokens_part, vector_part
from vespa_app.read.application import Application, ServedProfile

__all__ = ["MAX_VALUES", "SearchRequest", "search_request"]

MAX_VALUES = 1000
MOST_VALUES = 1000  # of a facet, the most frequent ones
MAX_TEXT = 20_000

NO_SIGNIFICANCES: Mapping[tuple[str, str], float] = {}
NO_TERM = "The text has no letter or digit to search for."
NO_VECTOR = "The query has no vector, so this profile retrieves by text alone."


@dataclass(frozen=True)
class SearchRequest:
    """The body to send, or None if nothing can match; and what the person should know."""

    body: dict[str, object] | None
    warnings: tuple[str, ...] = ()


@dataclass
class _Parameters:
    """Values that travel beside the YQL; `add` gives the reference that stands in it.

    own: fields of one's own.
    """

    own: Mapping[str, Attribute]
    values: dict[str, str] = field(default_factory=dict)

    def add(self, value: str) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"@{name}"


def search_request(
    query: Query,
    application: Application,
    *,
    hits: int,
    embed: bool = True,
    soft_timeout: bool = True,
    significances: Mapping[tuple[str, str], float] = NO_SIGNIFICANCES,
) -> SearchRequest:
    """The request for `query`, asking for `hits` hits.

    embed: a text without a vector is embedded inside Vespa, where the application can.
    significances: idf of the query's expansions, by text field and term. soft_timeout: at .7 of
    the time-out take the hits found so far, flagged as degraded.

    Raises QueryError if the query asks for what the application does not have, or for what
    Vespa would answer without a word but wrongly.
    """
    profile = application.resolve(query.profile)
    fields = [application.vector_fields[name] for name in profile.compared]
    there = application.vector_fields
    vectors = vectors_by_field(query, profile.name, [field for _, field in fields], [*there])
    own = {each.name: each for each in application.attributes}
    _check(query, profile, own, by_vector=bool(vectors))
    text = QueryText.of(query.text)
    vector = vector_part(query, profile, fields, vectors, text.typed, embed=embed)
    parameters = _Parameters(own)
    by_words = {name: _words_clause(query, text, name, parameters) for name in profile.texts}
    words = [
        _widened(clause, name, query, parameters, significances)
        for name, clause in by_words.items()
    ]
    tokens: dict[str, object] = {}
    if profile.patches:
        tokens = tokens_part(query, profile.name, there[profile.patches])
    clauses = _clauses(profile, words, vector)
    if not clauses:
        return SearchRequest(None, (NO_TERM,))
    where, shown = _where(query, clauses, parameters), _fields(query, own)
    body: dict[str, object] = {
        "yql": f"select {shown} from {application.schema} where {where}{_counts(query)}",  # noqa: S608
        "ranking.profile": profile.name,
        "hits": hits,
        "timeout": f"{max(query.timeout * 1000, 1):.0f}ms",
        "language": "en",
        "model.restrict": application.schema,
        "ranking.softtimeout.enable": soft_timeout,
        "presentation.timing": True,
        **_numbers(query, profile, whole=bool(text.words) and vector is not None),
        **parameters.values,
    }
    plain = query.group_by is None and query.sort is None
    if not query.with_documents and plain and application.id_summary:
        body["presentation.summary"] = application.id_summary
    if text.words and not query.operators:
        body["text"] = text.words
    if vector is not None:
        body |= vector.parameters
    body |= tokens
    short = vector is None and "vector" in profile.retrieve
    return SearchRequest(body, (NO_VECTOR,) if short else ())


def _check(
    query: Query, profile: ServedProfile, own: Mapping[str, Attribute], *, by_vector: bool
) -> None:
    check_types(query)
    check_query(query, own)
    if len(query.text) > MAX_TEXT:
        raise QueryError(
            f"The text has {len(query.text)} characters; at most {MAX_TEXT} are allowed."
        )
    if query.hidden_captions:
        raise QueryError(
            "Vespa cannot hide captions from ranking: run the protocol hidden-caption on the "
            "embedded engine."
        )
    if query.target_hits < 1:
        raise QueryError("target_hits is 0: Vespa retrieves at least 1.")
    usable = ("text" in profile.retrieve and bool(query.text.strip())) or (
        "vector" in profile.retrieve and (by_vector or bool(query.text.strip()))
    )
    if not usable:
        raise lacking(profile.name, profile.retrieve)


def _fields(query: Query, own: Collection[str]) -> str:
    """The fields shown; those that the query names were checked, for they stand in the YQL."""
    if query.with_documents:
        return ", ".join(("id", *DOCUMENT_FIELDS, *own))
    more = {n for n in (query.group_by, query.sort and query.sort.field) if n} - {"id"}
    return ", ".join(["id", *sorted(more)])


def _counts(query: Query) -> str:
    """Grouping that counts the values of each facet, over all documents that match."""
    each = f"max({MOST_VALUES}) order(-count()) each(output(count()))"
    asked = [f"all(group({name}) {each})" for name in dict.fromkeys(query.facets)]
    return f" | all({' '.join(asked)})" if asked else ""


def _clauses(profile: ServedProfile, words: Sequence[str], vector: VectorPart | None) -> list[str]:
    """What finds documents: the union of the profile's retrievers.

    A part that the profile only scores by stands in rank(): it is computed, but finds nothing.
    words: one clause for each of the profile's text fields.
    """
    parts = {"vector": vector.clauses if vector else (), "text": words[:1]}
    parts = {name: [part for part in own if part] for name, own in parts.items()}
    found = [part for name, own in parts.items() if name in profile.retrieve for part in own]
    scored = [
        part
        for name, own in parts.items()
        if name not in profile.retrieve and name in profile.reads
        for part in own
    ]
    scored += [part for part in words[1:] if part]
    if not found or not scored:
        return found
    union = f"({' or '.join(found)})"
    return [f"rank({', '.join([union, *scored])})"]


def _words_clause(query: Query, text: QueryText, name: str, parameters: _Parameters) -> str:
    """Words in the text field `name`: flat, equal to the index's tokens, or with operators."""
    if not text.words:
        return ""
    if query.operators:
        asked = read(text.words, parameters.own)
        conditions = [_condition(each, parameters) for each in asked.filters]
        return operators_clause(asked, conditions, name, parameters.add)
    kept = f"targetHits: {int(query.target_hits)}"
    how = kept if query.matching == "weakAnd" else 'grammar.composite: "or"'
    where = "" if name == TEXTS[0] else f', defaultIndex: "{name}"'
    return f'({{grammar: "linguistics", {how}{where}}}userInput(@text))'


def _widened(
    clause: str,
    name: str,
    query: Query,
    parameters: _Parameters,
    significances: Mapping[tuple[str, str], float],
) -> str:
    """The words or one of their expansions. bm25 reads no weight, but significance as the idf."""
    if not clause:
        return clause
    known = {*query_terms(query.text)}
    others = [
        f"{name} contains ({{{TOKEN}, significance: {weight * significances[name, term]!r}}}"
        f"{parameters.add(term)})"
        for term, weight in query.expansions.items()
        if term not in known and (name, term) in significances
    ]
    return f"({' or '.join([clause, *others])})" if others else clause


def _condition(each: Filter, parameters: _Parameters) -> str:
    found = _any_of(each, parameters)
    return f"!{found}" if each.exclude else found


def _where(query: Query, clauses: Sequence[str], parameters: _Parameters) -> str:
    """Filters stand beside the retrievers under one `and`: Vespa applies them before, not after."""
    if sum(len(f.values) for f in query.filters) + len(query.exclude_ids) > MAX_VALUES:
        raise QueryError(f"A query can name at most {MAX_VALUES} values to filter or exclude.")
    wanted = [_any_of(f, parameters) for f in query.filters if not f.exclude]
    barred = [_any_of(f, parameters) for f in query.filters if f.exclude and f.values]
    if query.exclude_ids:
        barred.append(_any_of(Filter("id", tuple(sorted(query.exclude_ids))), parameters))
    found = clauses[0] if len(clauses) == 1 else f"({' or '.join(clauses)})"
    return " and ".join([*wanted, found, *(f"!{clause}" for clause in barred)])


def _any_of(condition: Filter, parameters: _Parameters) -> str:
    tests = [_test(condition, value, parameters) for value in condition.values]
    return f"({' or '.join(tests)})" if tests else "(false)"


def _test(condition: Filter, value: str, parameters: _Parameters) -> str:
    """One comparison. Numbers are parsed and formatted here, as `range` takes no @parameter."""
    name = condition.field
    if name not in FILTER_FIELDS and name not in parameters.own:
        raise QueryError(f"There is no field {name!r} to filter by.")
    own = parameters.own.get(name)
    if own is None or own.type == "keyword":
        return f"{name} contains {parameters.add(_value(name, value))}"
    if own.type == "text":
        phrase = tuple(query_terms(value))
        return having(phrase, name, parameters.add) if phrase else "false"
    if own.type == "bool":
        return f"{name} = {told(value_of(own, value) or False)}"
    low, high = (_written(own, number) for number in bounds(own, value, condition.comparison))
    return f"range({name}, {low}, {high})"


def _written(own: Attribute, number: float) -> str:
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return repr(number) if own.type == "float" else str(int(number))


def _value(column: str, value: str) -> str:
    """A value to compare with; Vespa has no way to ask for an empty one."""
    if not clean(value).strip():
        raise QueryError(
            f"The filter on {column} has a blank value, which Vespa cannot search: name the "
            "values to include or exclude."
        )
    return clean(value)


def _numbers(query: Query, profile: ServedProfile, *, whole: bool) -> dict[str, object]:
    own = inputs_of_query(profile.name, profile.inputs, query.inputs, whole=whole)
    return {f"input.query({name})": float(value) for name, value in own.items()}
