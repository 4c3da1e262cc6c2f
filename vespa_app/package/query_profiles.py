"""Query profiles: defaults for every query, and one for each rank profile.

    /search/?queryProfile=hybrid&text=chest+x-ray

searches without any client code: text is embedded in the container and matched as plain words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vespa.configuration.query_profiles import field, query_profile
from vespa.configuration.vt import VT

from encoders.model.manifest import Manifest
from ranking.names import EncoderNames, encoder_names
from ranking.profiles.shipped import Profile
from ranking.types import TEXTS
from vespa_app.package.names import OWN_FIELD, SCHEMA_NAME, fingerprint_key
from vespa_app.package.options import PackageOptions

__all__ = ["query_profiles"]

# Every document with a word of the query, exact and repeatable; Vespa's own default reads
# "2.28 cm" or "C2- -C6" as operators, and its weakAnd misses true top hits of frequent words.
TEXT = '({grammar: "linguistics", grammar.composite: "or"%s}userInput(@text))'
VECTOR = "({targetHits: 100}nearestNeighbor(%s, %s))"


def query_profiles(
    profiles: Iterable[Profile],
    default: str,
    encoders: Sequence[Manifest],
    options: PackageOptions,
    captions: Manifest | None = None,
) -> list[VT]:
    """The default query profile, then one for each of `profiles`.

    encoders: the current one first. captions: of the encoder of captions, where it is another one.
    The default carries their whole fingerprints, of which names
    have the beginning only: who reads the application knows whose vectors it takes. It also tells
    the types of fields of one's own, of which Vespa knows no dates.
    Without embedding inside Vespa a query profile for vectors has no query vector: the client
    sends `input.query(q_...)`.
    """
    defaults = {
        "language": "en",
        "ranking.profile": default,
        "hits": "10",
        "maxHits": "10000",
        "maxOffset": "10000",
        "timeout": f"{options.timeout:g}s",
        "model.restrict": SCHEMA_NAME,
        "presentation.timing": "true",
        **{f"{OWN_FIELD}{each.name}": each.type for each in options.attributes},
    }
    for each in (*encoders, captions):
        if each:
            defaults[fingerprint_key(encoder_names(each.fingerprint).short)] = each.fingerprint
    of_captions = captions.fingerprint if captions else ""
    names = encoder_names(encoders[0].fingerprint, of_captions) if encoders else None
    return [
        query_profile(*_fields(defaults), id="default"),
        *(_for_profile(profile, names, options) for profile in profiles),
    ]


def _for_profile(profile: Profile, names: EncoderNames | None, options: PackageOptions) -> VT:
    fields = {"ranking.profile": profile.name}
    other = f', defaultIndex: "{profile.text}"' if profile.text not in {"", TEXTS[0]} else ""
    clauses = [TEXT % other] if "text" in profile.retrieve else []
    if names and profile.uses_vector:
        roles = profile.roles
        if "vector" in profile.retrieve:
            clauses += [VECTOR % (names.field(role), names.query_of(role)) for role in roles]
        if options.embedding == "vespa":
            for role in roles:
                embed = f"embed({names.embedder_of(role)}, @text)"
                fields[f"ranking.features.query({names.query_of(role)})"] = embed
    fields["yql"] = " ".join(["select * from", SCHEMA_NAME, "where", " or ".join(clauses)])
    return query_profile(*_fields(fields), id=profile.name, inherits="default")


def _fields(values: dict[str, str]) -> list[VT]:
    return [field(value, name=name) for name, value in values.items()]
