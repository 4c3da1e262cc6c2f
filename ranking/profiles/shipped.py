"""The shipped rank profiles.

Expressions are Vespa's ranking-expression language. They speak of the placeholders
`embedding`, `query(q)` and `attribute(has_vector)`; `instantiate` puts one encoder's names in.
docs/profiles.md tells what the shipped ones do, and how to add one.
"""

from __future__ import annotations

from ranking.profiles.cosine import COSINE, SCALE, START_SCALE
from ranking.profiles.profile import Phase, Profile, ProfileError
from ranking.profiles.set import ProfileSet
from ranking.profiles.toml import load_profiles, save_profiles

__all__ = [
    "CAPTION_PROFILES",
    "SHIPPED",
    "STUDY_PROFILES",
    "Phase",
    "Profile",
    "ProfileError",
    "ProfileSet",
    "load_profiles",
    "save_profiles",
]

_VECTOR = "closeness(field, embedding)"
_FEATURES = (
    "bm25(caption)",
    "closeness(field,embedding)",
    "attribute(has_caption)",
    "attribute(has_vector)",
)

_PARTS = Profile(
    name="parts",
    description="What the hybrid profiles are made of.",
    retrieve=("text", "vector"),
    inputs={"alpha": 0.5, "k": 100.0, "missing": 0.5, SCALE: START_SCALE},
    functions={
        "lexical_score": "bm25(caption)",
        "vector_score": _VECTOR,
        "cosine": COSINE,
        # As x while x is small against k, never above k: the words of a long query repeat
        # each other, and say less together than one by one.
        "saturate(x)": "query(k) * x / (x + query(k))",
        "lexical_evidence": "saturate(lexical_score)",
        "vector_evidence": "query(scale) * cosine",
        # A document that lacks one part is given a share of the part that it has, and never
        # more than a picture can have.
        "lexical_part": (
            "if (attribute(has_caption), lexical_evidence, query(missing) * vector_evidence)"
        ),
        "vector_part": (
            "if (attribute(has_vector), vector_evidence, "
            "query(missing) * min(lexical_evidence, query(scale)))"
        ),
        "blend": "query(alpha) * vector_part + (1 - query(alpha)) * lexical_part",
    },
    match_features=_FEATURES,
)

SHIPPED = ProfileSet(
    profiles=(
        Profile(
            name="lexical",
            description="BM25 of the caption.",
            retrieve=("text",),
            first_phase="bm25(caption)",
            match_features=("bm25(caption)",),
        ),
        Profile(
            name="lexical_affirmed",
            description="BM25 of what a caption affirms; what it says is absent is not found.",
            retrieve=("text",),
            text="affirmed",
            inputs={"negated": 0.0},
            first_phase="bm25(affirmed) + query(negated) * bm25(negated)",
            match_features=("bm25(affirmed)", "bm25(negated)"),
        ),
        Profile(
            name="lexical_pseudo",
            description="BM25 of the captions of near images: what an encoder would say.",
            retrieve=("text",),
            text="pseudo_caption",
            first_phase="bm25(pseudo_caption)",
            match_features=("bm25(pseudo_caption)",),
        ),
        Profile(
            name="vector",
            description="Closeness of the image's vector.",
            retrieve=("vector",),
            first_phase=_VECTOR,
            match_features=("closeness(field,embedding)",),
        ),
        _PARTS,
        Profile(
            name="hybrid_sum",
            description="BM25 plus closeness, unweighted: the published baseline.",
            inherits="parts",
            first_phase="lexical_score + vector_score",
        ),
        Profile(
            name="hybrid",
            description="Weighted mean of what words and picture say, in nats; BM25 saturates.",
            inherits="parts",
            first_phase="blend",
        ),
        Profile(
            name="hybrid_pseudo",
            description="As hybrid; where there is no caption, words of near images' captions too.",
            inherits="parts",
            inputs={"pseudo": 0.75},
            functions={
                "lexical_part": (
                    "if (attribute(has_caption), lexical_evidence, query(missing) * "
                    "vector_evidence + query(pseudo) * saturate(bm25(pseudo_caption)))"
                )
            },
            first_phase="blend",
            match_features=(*_FEATURES, "bm25(pseudo_caption)"),
        ),
        Profile(
            name="hybrid_atan",
            description="As hybrid, with BM25 saturated by an arc tangent.",
            inherits="parts",
            functions={"saturate(x)": "query(k) * atan(x / query(k))"},
            first_phase="blend",
        ),
        Profile(
            name="hybrid_linear",
            description="Weighted mean of both scores, each scaled to 0..1 over the best hits.",
            inherits="parts",
            first_phase="blend",
            global_phase=Phase(
                "query(alpha) * if (attribute(has_vector), normalize_linear(vector_score), "
                "query(missing) * normalize_linear(lexical_score)) + (1 - query(alpha)) * "
                "if (attribute(has_caption), normalize_linear(lexical_score), "
                "query(missing) * normalize_linear(vector_score))",
                rerank_count=100,
            ),
        ),
        Profile(
            name="hybrid_rrf",
            description="Reciprocal rank fusion of both scores over the best hits.",
            inherits="parts",
            first_phase="blend",
            global_phase=Phase(
                "if (attribute(has_caption) && attribute(has_vector), "
                "reciprocal_rank_fusion(vector_score, lexical_score), (1 + query(missing)) * "
                "if (attribute(has_vector), reciprocal_rank(vector_score), "
                "reciprocal_rank(lexical_score)))",
                rerank_count=100,
            ),
        ),
        Profile(
            name="learned",
            description="Logistic regression over the parts; its weights are inputs.",
            inherits="parts",
            inputs={
                "k": 10.0,
                "bias": -4.0,
                "weight_lexical": 4.0,
                "weight_vector": 4.0,
                "weight_no_caption": 0.5,
                "weight_no_vector": 1.0,
            },
            functions={"saturate(x)": "x / (x + query(k))"},
            first_phase=(
                "sigmoid(query(bias) + query(weight_lexical) * saturate(lexical_score) + "
                "query(weight_vector) * vector_score + "
                "query(weight_no_caption) * (1 - attribute(has_caption)) + "
                "query(weight_no_vector) * (1 - attribute(has_vector)))"
            ),
        ),
        Profile(
            name="image",
            description="For an image query: closeness; words beside it refine the order.",
            inherits="parts",
            retrieve=("vector",),
            inputs={"k": 10.0, "words": 0.1},
            functions={"saturate(x)": "x / (x + query(k))"},
            first_phase="vector_score + query(words) * saturate(lexical_score)",
        ),
    ),
    default="hybrid",
)

_BEST_FRAME = "closeness(field, frames)"

STUDY_PROFILES = (
    Profile(
        name="frames",
        description="Closeness of the best frame of a study.",
        retrieve=("vector",),
        first_phase=_BEST_FRAME,
        match_features=("closeness(field,frames)", "closest(frames)"),
    ),
    Profile(
        name="study",
        description="As hybrid, the picture being a study's best frame.",
        inherits="parts",
        functions={"vector_score": _BEST_FRAME, "cosine": COSINE.replace("embedding", "frames")},
        first_phase="blend",
        match_features=(
            "bm25(caption)",
            "closeness(field,frames)",
            "closest(frames)",
            "attribute(has_caption)",
            "attribute(has_vector)",
        ),
    ),
)
"""Profiles of an index of studies, whose frames are vectors under labels."""

CAPTION_PROFILES = (
    Profile(
        name="hybrid3",
        description="As hybrid, and what the caption's vector says, all three in nats.",
        inherits="parts",
        inputs={"beta": 0.5},
        functions={
            "caption_score": "closeness(field, caption_embedding)",
            "caption_cosine": COSINE.replace("embedding", "caption_embedding"),
        },
        first_phase="blend + query(beta) * query(scale) * caption_cosine",
        match_features=(*_FEATURES, "closeness(field,caption_embedding)"),
    ),
)
"""Profiles of an index whose captions have vectors too."""
