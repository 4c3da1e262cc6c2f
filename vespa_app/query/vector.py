"""Check the vector of a query, and write it as a nearestNeighbor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from ranking.cell_types import LENGTH_TOLERANCE, scaled_for
from ranking.names import encoder_names
from ranking.query_checks import token_vectors
from ranking.types import Query, QueryError, VectorField
from vespa_app.read.application import ServedEncoder, ServedProfile

__all__ = ["VectorPart", "tokens_part", "vector_part"]


@dataclass(frozen=True)
class VectorPart:
    """Nearest-neighbour clauses, one for each field, and the parameters that go with them."""

    clauses: tuple[str, ...]
    parameters: dict[str, object]


def vector_part(
    query: Query,
    profile: ServedProfile,
    compared: Sequence[tuple[ServedEncoder, VectorField]],
    vectors: Mapping[str, NDArray[np.floating]],
    typed: str,
    *,
    embed: bool,
) -> VectorPart | None:
    """The query's own vectors, or `typed` embedded inside Vespa; None where the profile needs none.

    compared: fields, each with its encoder. vectors: by field. Raises QueryError where a vector
    would be wrong, where two fields of one encoder are asked by different ones, or where it is
    lacking and nothing else is left.
    """
    fields: dict[ServedEncoder, list[VectorField]] = {}
    for encoder, field in compared:
        if field.name in vectors or not vectors:
            fields.setdefault(encoder, []).append(field)
    sent: dict[str, object] = {}
    clauses = []
    for encoder, own in fields.items():
        parameter = f"input.query({encoder.query})"
        if vectors:
            sent[parameter] = _one_form(own, vectors)
        elif embed and encoder.embedder and typed.strip():
            sent |= {parameter: f"embed({encoder.embedder}, @typed)", "typed": typed}
        elif profile.retrieve == ("vector",):
            raise QueryError(_why_no_vector(profile, encoder, typed))
        else:
            continue
        how = f"targetHits: {int(query.target_hits)}{_threshold(query, own[0])}"
        clauses += [f"({{{how}}}nearestNeighbor({field.name}, {encoder.query}))" for field in own]
    return VectorPart(tuple(clauses), sent) if clauses else None


def _one_form(fields: Sequence[VectorField], vectors: Mapping[str, NDArray[np.floating]]) -> str:
    """The one vector that fields of one encoder are asked by."""
    forms = {_hex(vectors[field.name], field) for field in fields}
    if len(forms) > 1:
        raise QueryError(
            f"{' and '.join(f.name for f in fields)} are of one encoder, and Vespa compares "
            "them with one vector: give both the same."
        )
    return forms.pop()


def tokens_part(
    query: Query, profile: str, patches: tuple[ServedEncoder, VectorField]
) -> dict[str, object]:
    """The query's token vectors as a parameter, labelled 0, 1, ....

    Raises QueryError as `token_vectors` does.
    """
    encoder, field = patches
    tokens = token_vectors(query, profile, field)
    blocks = {str(number): token.tolist() for number, token in enumerate(tokens)}
    return {f"input.query({encoder_names(encoder.short).tokens})": {"blocks": blocks}}


def _threshold(query: Query, stored: VectorField) -> str:
    """The lowest closeness as the largest distance: closeness is 1 / (1 + distance)."""
    least = query.min_closeness
    if least is None:
        return ""
    if stored.distance == "dotproduct":
        raise QueryError(
            f"{stored.name} uses the dot product, for which Vespa supports no minimum closeness: "
            "remove min_closeness."
        )
    if least <= 0:
        return ""
    return f", distanceThreshold: {format(Decimal(repr(max(1 / least - 1, 0.0))), 'f')}"


def _why_no_vector(profile: ServedProfile, encoder: ServedEncoder, typed: str) -> str:
    if not typed.strip():
        return f"Profile {profile.name} searches vectors, and the query has none."
    return (
        f"Profile {profile.name} searches vectors, and this application does not embed texts by "
        f"itself: encode the query with the encoder {encoder.fingerprint[:8]}."
    )


def _hex(vector: NDArray[np.floating], stored: VectorField) -> str:
    """The vector as hex of big-endian float32: exact, and the one form whose length Vespa checks.

    https://docs.vespa.ai/en/reference/ranking/tensor.html#tensor-literal-form
    """
    found = scaled_for(np.asarray(vector, dtype=np.float32), stored.cell_type)
    if found.shape != (stored.dimension,):
        raise QueryError(
            f"The query vector has shape {list(found.shape)}, but {stored.name} holds vectors of "
            f"{stored.dimension}: encode the query with the index's own encoder."
        )
    if not np.isfinite(found).all():
        raise QueryError("The query vector contains NaN or infinity: check the encoder's input.")
    length = float(np.linalg.norm(found.astype(np.float64)))
    if length == 0.0 or (stored.cell_type == "int8" and not np.trunc(found).any()):
        raise QueryError(
            "The query vector is zero in the field's cell type, so all documents would be equal: "
            "scale it like the documents (int8: times 127, rounded)."
        )
    unit = stored.distance == "prenormalized-angular" and stored.cell_type != "int8"
    if unit and abs(length - 1.0) > LENGTH_TOLERANCE:
        raise QueryError(
            f"The query vector has length {length:.4g}, and {stored.name} compares unit vectors: "
            "divide it by its length."
        )
    return found.astype(">f4").tobytes().hex()
