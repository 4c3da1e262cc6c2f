"""Data sets, one layout a file."""

from ingest.sources.open import FORMATS, open_source

__all__ = ["FORMATS", "open_source"]
