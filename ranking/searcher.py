"""Search by text, image or examples: build a query, run it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ranking.calibration import NOT_ITS_OWN, Calibration
from ranking.engine.segment.labelled import closeness_by_label
from ranking.names import CAPTION_VECTORS, encoder_names
from ranking.query_checks import check_types
from ranking.text.synonyms import Synonyms
from ranking.text.tokens import query_terms
from ranking.types import (
    Engine,
    EngineError,
    Filter,
    Hit,
    Query,
    QueryError,
    RankProfile,
    Result,
    Sort,
)

if TYPE_CHECKING:  # a lexical search need not wait for torch
    from PIL import Image

    from encoders.inference.dual_encoder import DualEncoder

__all__ = ["NoProbabilityError", "Searcher", "with_vectors"]

LEXICAL = "lexical"
IMAGE = "image"

# Rocchio's weights of examples beside the query, as Manning, Raghavan and Schuetze give them
# (Introduction to Information Retrieval, 2008, section 9.1.1).
LIKE, UNLIKE = 0.75, 0.15


class NoProbabilityError(QueryError):
    """No probabilities are fitted here, or none for such a query."""


class Searcher:
    """Encodes queries with the index's own encoder and asks an engine.

    `synonyms`, where they are set, widen every text without operators; `calibration` tells how
    probable it is that a hit is right.

    >>> Searcher(engine, encoder).search("pleural effusion", k=5)  # doctest: +SKIP
    """

    def __init__(
        self, engine: Engine, encoder: DualEncoder | None = None, *, embeds: bool = False
    ) -> None:
        """Check that the encoder made the index's vectors.

        embeds: whether the engine makes vectors of texts by itself, where there is no encoder.
        Raises EngineError if it did not: vectors of two encoders cannot be compared; and where
        there are no vectors.
        """
        self.engine = engine
        self.encoder = encoder
        self.embeds = embeds
        self.synonyms: Synonyms | None = None
        self.calibration: Calibration | None = None
        self._info = engine.info()
        self._vectors = "".join(each.fingerprint for each in self._info.vector_fields[:1])
        if encoder is None:
            return
        if not self._info.vector_fields:
            raise EngineError(
                "Nothing is compared with vectors here, so an encoder has no effect: leave it out, "
                "or index the corpus with it."
            )
        held = {field.fingerprint for field in self._info.vector_fields} - {""}
        self._vectors = asked = encoder.manifest.fingerprint
        if held and asked not in held:
            raise EngineError(
                f"This index was built with encoder {', '.join(f[:8] for f in sorted(held))}, "
                f"not with {asked[:8]}: search with that encoder, or index the corpus again."
            )

    def __repr__(self) -> str:
        """What it searches, and with which encoder."""
        made = self.encoder.manifest.fingerprint[:8] if self.encoder else "none"
        return f"<Searcher: {self._info.documents:,} documents, encoder {made}>"

    def widening(self, text: str) -> dict[str, float]:
        """Other terms for what a text says, with weights; a longer form's words share its."""
        found: dict[str, float] = {}
        for each in self.synonyms.expand(query_terms(text)) if self.synonyms else ():
            for term in each.terms:
                found[term] = max(each.weight / len(each.terms), found.get(term, 0.0))
        return found

    def _repr_html_(self) -> str:
        profiles = ", ".join(self._info.profiles)
        return f"<p>{escape(repr(self)[1:-1])}; profiles {escape(profiles)}.</p>"

    def search(
        self,
        text: str | None = None,
        *,
        image: Image.Image | bytes | str | Path | None = None,
        like: Sequence[str] = (),
        unlike: Sequence[str] = (),
        profile: str | None = None,
        k: int = 10,
        inputs: Mapping[str, float] | None = None,
        filters: tuple[Filter, ...] = (),
        exclude_ids: frozenset[str] = frozenset(),
        group_by: str | None = None,
        target_hits: int | None = None,
        operators: bool = False,
        offset: int = 0,
        sort: Sort | None = None,
        min_score: float | None = None,
        min_closeness: float | None = None,
        min_probability: float | None = None,
        facets: tuple[str, ...] = (),
        frames: bool = False,
    ) -> Result:
        """Search by a text, an image, or both.

        Both: captions are searched by the text; the query vector is the sum of the two unit
        vectors, scaled to length 1. like, unlike: ids of documents whose vectors draw the query
        vector near, or push it away (Rocchio); they are no hits themselves. profile: by default
        the index's default; `lexical` where there is no encoder; `image`, where the index has it,
        for images without a text. What the profile makes no use of is a warning of the result.
        target_hits: how many nearest vectors are retrieved; by default as many as hits
        are asked for, and 100 at least. operators: whether the text has any ("a phrase", +must,
        -not, field:term); else it is plain words. offset, sort, min_score, min_closeness, facets:
        as `Query` has them. frames: tell the closeness of all labelled vectors of each hit,
        where the profile shows the closest. min_probability: of the hits found, only those that
        are right with this probability; for texts of plain words alone.
        Raises QueryError where neither is given or the profile cannot use what is.
        """
        text = "" if text is None else text
        asked = Query(
            text=text,
            profile="" if profile is None else profile,
            inputs={} if inputs is None else inputs,
            k=k,
            offset=offset,
            sort=sort,
            min_score=min_score,
            min_closeness=min_closeness,
            facets=facets,
            target_hits=Query.target_hits if target_hits is None else target_hits,
            filters=filters,
            exclude_ids=exclude_ids,
            group_by=group_by,
            operators=operators,
        )
        check_types(asked)
        _check_examples(image, like, unlike, min_probability)
        plain = bool(text.strip()) and image is None and not like and not unlike and not operators
        if min_probability is not None:
            self._check_cut(min_probability, plain=plain)
        name = profile
        if name is None:
            name = self.default_profile(text, (like or None) if image is None else image)
        vector = self._vector(text, image, name)
        if like or unlike:
            vector = self._moved(vector, like, unlike)
        wanted = max(k + offset, Query.target_hits) if target_hits is None else target_hits
        asked = replace(
            asked,
            vector=vector,
            profile=name,
            target_hits=wanted,
            exclude_ids=frozenset(exclude_ids).union(like, unlike),
            expansions=self.widening(text) if text and not operators else {},
        )
        if name in self._info.profiles:
            resolved = self.engine.profiles.resolve(name)
            (asked,) = with_vectors([asked], [text], self.encoder, resolved)
            self._check_vectors(asked, resolved, given=vector is not None)
        result = self.engine.search(asked)
        if plain and self.calibration and not self.calibrated:
            result = replace(result, warnings=(*result.warnings, NOT_ITS_OWN))
        elif plain and self.calibration:
            result = self._judged(result, text, self.calibration, min_probability, first=not offset)
        if frames and vector is not None and any(f.labels for f in self._info.vector_fields):
            result = replace(result, frames=tuple(self._frames(hit, vector) for hit in result))
        examples = {"image": image is not None, "examples": bool(like or unlike)}
        given = [part for part, there in examples.items() if there]
        unused = self._unused(asked, given, result, nearest=target_hits is not None)
        return replace(result, warnings=(*result.warnings, *unused)) if unused else result

    def _unused(
        self, asked: Query, given: Sequence[str], result: Result, *, nearest: bool
    ) -> list[str]:
        """Sentences about what changed nothing. given: what stands beside the text."""
        name, text = asked.profile, bool(asked.text.strip())
        by = self.engine.profiles.resolve(name).retrieve
        vector = asked.vector is not None or bool(asked.vectors) or (self.embeds and text)
        no_words, no_vector = not (text and "text" in by), not (vector and "vector" in by)
        checks = (
            (
                bool(given) and name in self._info.text_profiles,
                "uses text only",
                " and ".join(given),
            ),
            (asked.operators and no_words, "looks for no words here", "operators"),
            (bool(asked.expansions) and no_words, "looks for no words here", "synonyms"),
            (
                asked.min_closeness is not None and no_vector,
                "looks for no vectors here",
                "minimum closeness",
            ),
            (nearest and no_vector, "looks for no vectors here", "number of nearest vectors"),
        )
        told = [
            f"Profile {name} {does}: the {part} had no effect."
            for unused, does, part in checks
            if unused
        ]
        if 0 < result.total <= asked.offset:
            told.append(
                f"Only {result.total:,} documents match: none is left after the first "
                f"{asked.offset:,}."
            )
        return told

    def _check_vectors(self, asked: Query, profile: RankProfile, *, given: bool) -> None:
        """Refuse to compare a vector with those of another encoder, which are as long or not.

        given: whether the query has an image, examples, or a text that is encoded.
        Raises QueryError.
        """
        if self.encoder is None or not given:
            return
        if asked.vector is None and not asked.vectors and not asked.text.strip():
            raise QueryError(
                f"Profile {asked.profile} compares vectors of captions alone, whose encoder "
                "embeds texts: give a text, or take another profile."
            )
        made = {self.encoder.manifest.fingerprint, ""}
        if CAPTION_VECTORS in profile.roles and self.encoder.captions:
            made.add(self.encoder.captions.manifest.fingerprint)
        for role in profile.roles:
            fields = [f for f in self._info.vector_fields if f"{f.name}_".startswith(f"{role}_")]
            if fields and not any(field.fingerprint in made for field in fields):
                raise QueryError(
                    f"Profile {asked.profile} compares {fields[0].name}, of another encoder than "
                    f"{self.encoder.manifest.fingerprint[:8]}: search with the index's own "
                    "encoders, or take another profile."
                )

    def _check_cut(self, cut: float, *, plain: bool) -> None:
        if not 0 <= cut <= 1:
            raise QueryError(f"min_probability is {cut!r}: give a number from 0 to 1.")
        if not plain:
            raise NoProbabilityError(
                "A minimum probability needs a text of plain words, and no more."
            )
        if not self.calibrated:
            raise NoProbabilityError(
                "A minimum probability needs fitted probabilities, and there are none for this "
                "index: fit them with `rocosearch calibrate INDEX`, and write "
                "the application package of a server from that index."
            )

    @property
    def calibrated(self) -> bool:
        """Whether probabilities were fitted on this index, as it is now, or a server's vectors."""
        index, fitted = self.engine.index_id, self.calibration
        if fitted is None:
            return False
        return fitted.index == index if index else fitted.fingerprint == self._vectors

    @staticmethod
    def _judged(
        result: Result, text: str, calibration: Calibration, cut: float | None, *, first: bool
    ) -> Result:
        """The result with the probability that each hit is right, and without those below `cut`."""
        terms = len(query_terms(text))
        calibration = calibration.of_query(terms)
        made = calibration.probabilities(result.features, terms)
        if made is None:
            if cut is not None:
                raise NoProbabilityError(
                    "This profile shows no feature that a probability is fitted to."
                )
            return result
        result = replace(result, probabilities=tuple(made.tolist()))
        least = calibration.cut if cut is None else cut
        if first and len(result) and not (made >= least).any():
            shown = f"{least:.2g}" if cut is None else f"{cut:.6g}"
            told = f"Nothing here looks like it: no hit is right with a probability of {shown}."
            result = replace(result, warnings=(*result.warnings, told))
        return result if cut is None else result.only(made >= cut)

    def _frames(self, hit: Hit, vector: NDArray[np.float32]) -> dict[str, float]:
        """Closeness of a hit's labelled vectors, where its profile shows the closest."""
        named = tuple(name.removeprefix("closest(")[:-1] for name in hit.closest)
        fields = [f for f in self._info.vector_fields if f.labels and f.name.startswith(named)]
        document = self.engine.get(hit.id) if fields else None
        labelled = document.labelled.get(fields[0].name, {}) if document else {}
        return closeness_by_label(fields[0], labelled, vector) if labelled else {}

    def default_profile(self, text: str, image: object) -> str:
        """The profile that such a query is ranked by where none is named."""
        if self.encoder is None and not self.embeds:
            return LEXICAL
        if image is not None and not text.strip() and IMAGE in self._info.profiles:
            return IMAGE
        return self._info.default_profile

    def _vector(
        self, text: str, image: Image.Image | bytes | str | Path | None, profile: str
    ) -> NDArray[np.float32] | None:
        if self.encoder is None:
            if image is None:
                return None
            raise QueryError("Image queries need an encoder, and this search has none.")
        vectors = []
        if text.strip() and profile != LEXICAL:
            vectors.append(self.encoder.encode_texts([text])[0])
        if image is not None:
            vectors.append(self.encoder.encode_images([image])[0])
        if len(vectors) < 2:
            return vectors[0] if vectors else None
        total = np.sum([vector / np.linalg.norm(vector) for vector in vectors], axis=0)
        return np.asarray(total / (np.linalg.norm(total) or 1.0), np.float32)

    def _moved(
        self, vector: NDArray[np.float32] | None, like: Sequence[str], unlike: Sequence[str]
    ) -> NDArray[np.float32]:
        """Rocchio: the query's vector, plus the mean of examples, minus that of the others."""
        if vector is None and not like:
            raise QueryError(
                "Negative examples push a vector away, and this query has none: add an image or a "
                "positive example, or a text with a profile that compares vectors."
            )
        total = np.zeros(1, np.float32) if vector is None else vector / np.linalg.norm(vector)
        for weight, names in ((LIKE, like), (-UNLIKE, unlike)):
            if names:
                total = total + weight * np.mean([self._stored(name) for name in names], axis=0)
        return np.asarray(total / (np.linalg.norm(total) or 1.0), np.float32)

    def _stored(self, identifier: str) -> NDArray[np.float32]:
        """A document's own vector. Raises QueryError if it has none."""
        document = self.engine.get(identifier)
        if document is None:
            raise QueryError(f"There is no document {identifier!r}.")
        fields = [field.name for field in self._info.vector_fields]
        if self.encoder is not None:
            fields = [encoder_names(self.encoder.manifest.fingerprint).embedding]
        found = next((document.vectors[name] for name in fields if name in document.vectors), None)
        if found is None:
            raise QueryError(f"{identifier} has no image vector in this index.")
        return found / np.float32(np.linalg.norm(found) or 1.0)


def with_vectors(
    queries: Sequence[Query],
    texts: Sequence[str],
    encoder: DualEncoder | None,
    profile: RankProfile,
) -> list[Query]:
    """The queries, whose `vector` is of `encoder`, with what else of their texts is compared.

    Token vectors where the profile is late. Where captions have an encoder of their own, its vector
    too; every vector then stands under the name of its field.
    """
    captions = encoder.captions if encoder and CAPTION_VECTORS in profile.roles else None
    if encoder is None or not (profile.late or captions):
        return list(queries)
    names = encoder_names(
        encoder.manifest.fingerprint, captions.manifest.fingerprint if captions else ""
    )
    made = [dict(query.vectors) for query in queries]
    rows = [row for row, text in enumerate(texts) if text.strip()]
    asked = [texts[row] for row in rows]
    if profile.late and asked:
        for row, tokens in zip(rows, encoder.encode_tokens(asked), strict=True):
            made[row][names.field("patches")] = tokens
    if captions is None:
        return [replace(q, vectors=own) for q, own in zip(queries, made, strict=True)]
    fields = [names.field(role) for role in profile.roles if role != CAPTION_VECTORS]
    for query, own in zip(queries, made, strict=True):
        if query.vector is not None:
            own.update(dict.fromkeys(fields, query.vector))
    for row, vector in zip(rows, captions.encode_texts(asked), strict=True):
        made[row][names.field(CAPTION_VECTORS)] = vector
    return [replace(q, vector=None, vectors=own) for q, own in zip(queries, made, strict=True)]


def _check_examples(image: object, like: object, unlike: object, cut: object) -> None:
    """Refuse what is not of the types that `Searcher.search` declares. Raises QueryError."""
    if image is not None and not isinstance(image, bytes | str | Path) and not _is_image(image):
        raise QueryError(f"image is {repr(image)[:80]}: give a path, bytes or a Pillow image.")
    for name, ids in (("like", like), ("unlike", unlike)):
        if not isinstance(ids, tuple | list) or not all(isinstance(each, str) for each in ids):
            raise QueryError(f"{name} is {repr(ids)[:80]}: give a list of ids.")
    if cut is not None and not isinstance(cut, Real):
        raise QueryError(f"min_probability is {repr(cut)[:80]}: give a number from 0 to 1.")


def _is_image(value: object) -> bool:
    """Without Pillow there are none."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)
