"""`rocosearch index`: compute missing vectors, then build the index."""

from __future__ import annotations

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import (
    AsJson,
    CaptionEncoder,
    CaptionMissing,
    CaptionVectors,
    CorpusFolder,
    OptionalEncoder,
    OutFolder,
    ProfilesFile,
    Studies,
)

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch index build/corpus build/index --encoder build/encoder
rocosearch index build/roco build/roco-index
rocosearch index build/corpus build/index --encoder build/encoder --caption-missing
rocosearch index build/cines build/studies --encoder build/encoder --studies
"""


def command(
    corpus: CorpusFolder,
    out: OutFolder,
    *,
    encoder: OptionalEncoder = None,
    profiles: ProfilesFile = None,
    studies: Studies = False,
    captions: CaptionVectors = False,
    caption_encoder: CaptionEncoder = None,
    caption_missing: CaptionMissing = False,
    as_json: AsJson = False,
) -> None:
    """Embed the images of a corpus and build an index.

    With an encoder, images get vectors (made once, kept in the corpus); without one, or for
    records without an image, ranking is lexical. With --studies a document is a case, or a file of
    several frames, and the best of its images speaks for it. The snapshot carries its encoder and
    its rank profiles, and an old one at OUT stays until the new one is whole.
    """
    from rocosearch.pipeline import build_index

    with progress_bars() as progress:
        engine = build_index(
            corpus,
            out,
            encoder=encoder,
            profiles=profiles,
            studies=studies,
            captions=captions,
            caption_encoder=caption_encoder,
            caption_missing=caption_missing,
            progress=progress,
        )
    info = engine.info()
    fields = [
        {"name": field.name, "dimension": field.dimension, "fingerprint": field.fingerprint}
        for field in info.vector_fields
    ]
    if as_json:
        show_json(
            {
                "index": str(out),
                "documents": info.documents,
                "vector_fields": fields,
                "profiles": list(info.profiles),
                "default_profile": info.default_profile,
                **info.details,
            }
        )
        return
    vectors = ", ".join(f"{f['name']} ({f['dimension']} numbers)" for f in fields)
    results.print(
        f"{out}: {info.documents:,} documents; vectors: {vectors or 'none, lexical only'}."
    )
    results.print(f"Profiles: {', '.join(info.profiles)}; {info.default_profile} is the default.")
