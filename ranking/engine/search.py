"""One query: check, candidates, phases, hits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ranking.engine.candidates import Candidates, Checked, QueryMasks, Route, find_candidates
from ranking.engine.hits import cut_hits
from ranking.engine.phases import rank
from ranking.engine.plan import Plan, query_inputs
from ranking.engine.reader import IndexReader, Masks
from ranking.engine.segment.vectors import QueryVector, query_vector
from ranking.query_checks import (
    NO_WORD,
    check_query,
    lacking,
    token_vectors,
    told_of_scores,
    vectors_by_field,
)
from ranking.text.query_syntax import Asked, plain, read
from ranking.types import OF_CAPTION, Query, QueryError, Result

__all__ = ["search"]

NO_TEXT = Asked(())


def search(reader: IndexReader, plan: Plan, query: Query, route: Route) -> Result:
    """Answer one query.

    Raises QueryError if it is at fault.
    """
    started = time.perf_counter()
    asked = _checked(plan, query, reader)
    tokens = _tokens(plan, query)
    masks = _masks(reader, query, asked)
    found = find_candidates(reader, plan, asked, masks, route)
    retrieved = time.perf_counter()
    ranked = rank(
        plan, found, asked.depth, reader.id_order, lambda some: _late(reader, plan, tokens, some)
    )
    columns = cut_hits(reader, plan, query, ranked, asked.vectors)
    seconds = {"retrieve": retrieved - started, "rank": time.perf_counter() - retrieved}
    warnings = [NO_WORD] if asked.by_text and not _any_known(reader, plan, asked) else []
    warnings += told_of_scores(plan.name, columns["scores"])
    if (took := sum(seconds.values())) > query.timeout:
        warnings.append(
            f"The search took {took:.3g} s, longer than its time-out of {query.timeout:g} s."
        )
    return Result(
        **columns,
        total=found.total,
        facets={name: reader.counts(name, found.docs) for name in query.facets},
        coverage=reader.coverage,
        timing=seconds,
        warnings=tuple(warnings),
    )


def _checked(plan: Plan, query: Query, reader: IndexReader) -> Checked:
    """Check a query against its profile.

    A query that has only one of text and vector uses what it has. Raises QueryError if it
    has neither, or nothing that the profile retrieves by.
    """
    check_query(query, reader.attributes)
    has_text = bool(query.text.strip())
    text = NO_TEXT
    if has_text and plan.texts:
        text = plain(query.text).widened(query.expansions)
        if query.operators:
            text = read(query.text, reader.attributes)
    vectors = _vectors(plan, query)
    by_text = has_text and "text" in plan.retrieve
    by_vector = tuple(vectors) if "vector" in plan.retrieve else ()
    if not by_text and not by_vector:
        raise _lacking(plan)
    whole = bool(text.terms) and (query.vector is not None or bool(query.vectors))
    inputs = (
        query_inputs(plan, query, whole=whole)
        if query.inputs
        else _default_inputs(plan, whole=whole)
    )
    return Checked(
        text,
        vectors,
        inputs,
        by_text,
        by_vector,
        # More than there is takes room and finds nothing.
        target_hits=min(query.target_hits, max(reader.size, 1)),
        weak_and=query.matching == "weakAnd",
        min_closeness=query.min_closeness,
        depth=_depth(plan, query, reader.size),
    )


def _depth(plan: Plan, query: Query, size: int) -> int | None:
    """How many of the best documents decide on the hits; None: all that are found."""
    if query.group_by or query.sort or query.facets:
        return None
    return max(min(query.offset + query.k, max(size, 1)), plan.window)


def _vectors(plan: Plan, query: Query) -> dict[str, QueryVector]:
    """The query's vectors that the profile compares, by field.

    Raises QueryError as `vectors_by_field` does.
    """
    fields = plan.vector_fields
    found = vectors_by_field(query, plan.name, [*fields.values()], plan.index_fields)
    return {name: query_vector(vector, fields[name]) for name, vector in found.items()}


def _tokens(plan: Plan, query: Query) -> dict[str, NDArray[np.float32]]:
    """The query's token vectors by the feature that reads them; see `token_vectors`."""
    return {name: token_vectors(query, plan.name, field) for name, field in plan.late.items()}


def _late(
    reader: IndexReader, plan: Plan, tokens: Mapping[str, NDArray[np.float32]], found: Candidates
) -> Candidates:
    """Candidates with the features that only the best have."""
    if not plan.late or plan.late.keys() <= found.features.keys():
        return found
    values = {}
    for name, field in plan.late.items():
        if name.startswith("max_sim") or plan.reranker is None:
            values[name] = reader.max_sim(field.name, tokens[name], found.docs)
            continue
        patches = reader.patches(field, found.docs, plan.reranker.manifest.patches)
        values[name] = plan.reranker.score(tokens[name], patches)
    return replace(found, features={**found.features, **values})


@lru_cache(maxsize=256)
def _default_inputs(plan: Plan, *, whole: bool) -> dict[str, float]:
    """`query_inputs` of a query that sets none itself."""
    return query_inputs(plan, Query(), whole=whole)


def _lacking(plan: Plan) -> QueryError:
    if "vector" in plan.retrieve and not plan.vector_fields:
        return QueryError(
            f"Profile {plan.name} searches vectors, but this index has none: index the corpus "
            "with an encoder, or take a profile that searches captions, such as lexical."
        )
    return lacking(plan.name, plan.retrieve)


def _masks(reader: IndexReader, query: Query, asked: Checked) -> QueryMasks:
    allowed = reader.allowed(query.filters, query.exclude_ids)
    words = reader.permitted(allowed, asked.text) if asked.text.bound else allowed
    by_text = dict.fromkeys(reader.texts, words)
    captions: Masks = [None] * len(reader.parts)
    if query.hidden_captions:
        by_text |= dict.fromkeys(OF_CAPTION, reader.without(words, query.hidden_captions))
        captions = reader.without([s.has_caption for s, _ in reader.parts], query.hidden_captions)
    return QueryMasks(by_text, allowed, captions)


def _any_known(reader: IndexReader, plan: Plan, asked: Checked) -> bool:
    return any(reader.texts[text].known(asked.text.terms) for text in plan.texts)
