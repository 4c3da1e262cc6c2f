"""Build a server from a searcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from encoders.base.errors import UserError
from encoders.base.extras import need
from ranking.attributes import told
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from rocosearch.page.answers import Desk
from rocosearch.page.api import Api
from rocosearch.page.judgements import Judgements, beside
from rocosearch.page.lexicon import Lexicon
from rocosearch.page.pictures import Pictures
from rocosearch.page.server import PageServer

if TYPE_CHECKING:
    from ingest.corpus.corpus import Corpus

__all__ = ["open_page"]

T = TypeVar("T")
Made = TypeVar("Made")

LOOKED_AT = 100  # documents, to tell whether a corpus is theirs
FACETS = ("modality", "source", "licence", "split")
MOST_VALUES = 50
MOST_FACETS = 20  # of the API


def open_page(
    searcher: Searcher,
    corpus: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    names: tuple[str, ...] = (),
    token: str = "",
) -> PageServer:
    """Build a server for a searcher and the corpus with its images.

    names: further host names of the server. token: the access token. Raises CorpusError or
    UserError.
    """
    if corpus is None:
        _in_background(_warm, searcher)
        engine = searcher.engine
        lexicon = None
        if isinstance(engine, EmbeddedEngine):
            lexicon = partial(_in_background, Lexicon.of_index, engine)
        return PageServer(
            Api(Desk(searcher), lexicon=lexicon), host, port, names=names, token=token
        )
    need("pyarrow", "Showing a corpus's pictures")
    from ingest.corpus.corpus import Corpus  # noqa: PLC0415 - a page without pictures needs none

    opened = Corpus.open(corpus)
    pictures = Pictures(opened)
    if not any(name in pictures for name in islice(searcher.engine.ids(), LOOKED_AT)):
        raise UserError(
            f"{corpus} has none of the searched documents: name the corpus that they come from."
        )
    _in_background(_warm, searcher)
    lexicon = partial(_in_background, Lexicon.of_corpus, opened)
    desk = Desk(searcher, _facets(opened))
    api = Api(desk, pictures, Judgements(beside(opened.path)), lexicon)
    return PageServer(api, host, port, names=names, token=token)


def _in_background(work: Callable[[T], Made], of: T) -> Future[Made]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work, of)
    pool.shutdown(wait=False)
    return future


def _warm(searcher: Searcher) -> None:
    """Run every ranking once: the first query of a process loads kernels and towers."""
    for profile in searcher.engine.info().profiles:
        with suppress(UserError):  # a custom profile may need another query
            searcher.search("warm", profile=profile, k=1)


def _facets(corpus: Corpus) -> dict[str, dict[str, int]]:
    """Document counts for each value of the fields with several values.

    A keyword of one's own with more than MOST_VALUES of them names documents rather than kinds.
    """
    from ingest.corpus.tables import opened  # noqa: PLC0415 - a page without pictures needs none

    own = [each.name for each in corpus.manifest.fields if each.type in {"keyword", "bool"}]
    flags = {each.name for each in corpus.manifest.fields if each.type == "bool"}
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*FACETS, *own)}
    for part in corpus.parts:
        with opened(part) as file:
            table = file.read(columns=list(counts))
        for name, found in counts.items():
            for row in table[name].value_counts().to_pylist():
                value = row["values"] or (False if name in flags else "")  # as the engines do
                found[told(value)] += row["counts"]
    shown = {
        name: {value: n for value, n in found.most_common(MOST_VALUES) if value}
        for name, found in counts.items()
        if len(found) > 1 and (name in FACETS or len(found) <= MOST_VALUES)
    }
    return dict(islice(shown.items(), MOST_FACETS))
