"""Images of documents, read from a corpus one by one."""

from __future__ import annotations

import io
import threading
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from encoders.base.errors import UserError

if TYPE_CHECKING:  # a page without pictures needs neither
    from PIL import Image

    from ingest.corpus.corpus import Corpus

__all__ = ["SIDES", "Pictures", "jpeg"]

SIDES = {"small": 320, "large": 1600}
"""The longest side in pixels."""

KEPT = 1_000
MANIFEST = "corpus.json"
QUALITY = 85


class Pictures:
    """JPEGs of a corpus's images; recently used small ones are cached.

    A corpus that was written again (`rocosearch forget`) is read again.
    """

    def __init__(self, corpus: Corpus) -> None:
        """Read the position of each image, not the images."""
        self._corpus = corpus
        self._lock = threading.Lock()
        self._read()

    @property
    def version(self) -> tuple[int, ...]:
        """Changes when the corpus is written again."""
        try:
            told = (self._corpus.path / MANIFEST).stat()
        except OSError:  # just being replaced, or removed
            return ()
        return told.st_ino, told.st_mtime_ns, told.st_size

    def _read(self) -> None:
        from ingest.corpus.tables import opened  # noqa: PLC0415

        self._version = self.version
        self._places: dict[str, tuple[Path, int, int]] = {}
        self._studies: dict[str, str] = {}  # a study is shown by its first image
        for part in self._corpus.parts:
            with opened(part) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=["id", "group_id"])
                    ids, groups = (table[name].to_pylist() for name in table.column_names)
                    for row, study in enumerate(groups):
                        self._studies.setdefault(study, ids[row])
                    self._places |= {name: (part, group, row) for row, name in enumerate(ids)}
        self._small = lru_cache(KEPT)(self._draw)

    def _refresh(self) -> None:
        with self._lock:
            if self._version != self.version:
                self._read()

    def __contains__(self, identifier: str) -> bool:
        """Whether the corpus has the document, an image or a study."""
        return identifier in self._places or identifier in self._studies

    def path(self, identifier: str) -> str:
        """The image's name in the source, "" if there is none."""
        return str(self._column(identifier, "path") or "")

    def some(self, count: int) -> list[str]:
        """Ids of documents, spread over the corpus."""
        self._refresh()
        step = max(1, len(self._places) // count)
        return list(islice(self._places, step // 2, None, step))[:count]

    def get(self, identifier: str, size: str = "small") -> bytes | None:
        """A JPEG; None if the document has no readable image.

        size: "small", or "large".
        """
        self._refresh()
        if identifier not in self._places:
            identifier = self._studies.get(identifier, "")
        return self._draw(identifier, "large") if size == "large" else self._small(identifier)

    def original(self, identifier: str) -> bytes | None:
        """The original bytes of the image; None if the document has none."""
        self._refresh()
        return cast("bytes | None", self._column(identifier, "bytes"))

    def _column(self, identifier: str, name: str) -> object:
        if identifier not in self._places:
            return None
        from ingest.corpus.tables import opened  # noqa: PLC0415

        part, group, row = self._places[identifier]
        with opened(part) as file:
            found = file.read_row_group(group, columns=["id", f"image.{name}"]).slice(row, 1)
        for here in found.to_pylist():
            if here["id"] == identifier:  # or else the corpus was written again just now
                return (here["image"] or {}).get(name)
        return None

    def _draw(self, identifier: str, size: str = "small") -> bytes | None:
        from encoders.images.preprocess import open_image  # noqa: PLC0415

        data = self.original(identifier)
        if not data:
            return None
        try:
            image = open_image(data).convert("RGB")
        except UserError:
            return None
        image.thumbnail((SIDES[size], SIDES[size]))
        return jpeg(image)


def jpeg(image: Image.Image) -> bytes:
    """Encode an RGB image."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
