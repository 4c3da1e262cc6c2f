"""A searcher for an index folder or the URL of a running Vespa."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.base.errors import UserError

if TYPE_CHECKING:
    from ranking.searcher import Searcher
from ranking.text.synonyms import read_synonyms
from vespa_app.http.credentials import is_url

__all__ = ["searching"]


@contextmanager
def searching(
    where: str,
    *,
    encoder: Path | None = None,
    profiles: Path | None = None,
    package: Path | None = None,
    config_url: str | None = None,
    synonyms: Path | None = None,
) -> Iterator[Searcher]:
    """Open a searcher, and close it at the end.

    synonyms: a file in Solr's format that widens texts.
    encoder, profiles: used instead of those of an index. A server embeds texts itself unless an
    encoder is named. package, config_url: where to read the deployed application.
    Raises UserError if the arguments contradict each other, or nothing is found.
    """
    if not is_url(where):
        if package or config_url:
            raise UserError("--app and --config-url need the URL of a running Vespa.")
        from rocosearch.open_index import open_searcher  # noqa: PLC0415 - loads the engine

        opened = open_searcher(Path(where), encoder=encoder, profiles=profiles)
        opened.synonyms = read_synonyms(synonyms) if synonyms else None
        yield opened
        return
    if profiles:
        raise UserError("--profiles does not apply to a server: it uses its deployed package.")
    # Not at the top: a search of an index needs none of what a server needs.
    from rocosearch.vespa_jobs import Server, open_server_searcher  # noqa: PLC0415

    with open_server_searcher(Server(where, package, config_url), encoder) as searcher:
        searcher.synonyms = read_synonyms(synonyms) if synonyms else None
        yield searcher
