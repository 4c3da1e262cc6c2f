"""The steps of a swap on a Vespa server: two encoders, each with its own fields.

All packages are written at the start; each step deploys the next one:

    packages/running    the running application, as read from the config server; never deployed
    packages/before     the old encoder alone
    packages/beside     both, the plain profile names pointing to the old one
    packages/switched   both, the plain names pointing to the new one
    packages/after      the new encoder alone

Adding a field needs no restart and no new feed; queries continue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from encoders.base.progress import Progress, silent
from encoders.base.storage import whole_folder
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ingest.feed.feed import FeedSource, feed
from ingest.feed.targets import VespaTarget
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from rocosearch.open_index import embedding_encoder
from rocosearch.swap.candidate import (
    backfill_index,
    build_candidate,
    caption_encoder_of,
    check_encoders,
    embed_for,
    evaluate_index,
)
from rocosearch.swap.job import Backfilled, Swap
from rocosearch.swap.live import compare_live
from rocosearch.swap.state import FILE_NAME, SwapError, SwapState, new_state
from vespa_app.deploy.changes import compare
from vespa_app.deploy.config_server import ConfigServer
from vespa_app.deploy.deploy import deploy
from vespa_app.feed.documents import DocumentClient
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import PackagedEncoder, write_application
from vespa_app.read.application import read_application
from vespa_app.read.read_options import Written, differences, read_written

__all__ = ["VespaMover", "VespaServer", "start_on_vespa", "write_packages"]

AS_SHIPPED = Written(PackageOptions(), {})


@dataclass(frozen=True)
class VespaServer:
    """URLs for queries, documents and packages, and the time limit of a deploy."""

    url: str
    config_url: str
    seconds: float = 600.0


def start_on_vespa(
    server: VespaServer,
    index: Path,
    corpus: Path,
    encoder: Path,
    *,
    folder: Path,
    force: bool = False,
    progress: Progress = silent,
) -> Swap:
    """Start to replace the encoder of a running application by the one in the folder `encoder`.

    index: the one that the running application was written from; its profiles and encoder go
    into the packages. Options and mean text lengths are those of the running application.
    A started swap is resumed. Raises SwapError if the packages would change the running application
    in more than the new field and profiles, unless `force` is set.
    """
    if (folder / FILE_NAME).exists():
        state = SwapState.load(folder)
    else:
        encoders = check_encoders(index, encoder)
        running = folder / "packages" / "running"
        _download(ConfigServer(server.config_url), running)
        write_packages(folder / "packages", index, encoder, read_written(running), progress)
        if not force:
            _check_same(running, folder / "packages" / "before")
        where = {"url": server.url, "config_url": server.config_url}
        state = new_state(encoders, index, corpus, encoder, where)
        state.save(folder)
    if Path(state.encoder) != encoder.resolve() or state.server.get("url") != server.url:
        raise SwapError(
            f"Another swap is in progress in {folder}, to the encoder {state.encoder}: finish it "
            "or roll it back first."
        )
    swap = Swap(folder, VespaMover(folder, state, server.seconds))
    swap.start(progress)
    return swap


def write_packages(
    out: Path,
    index: Path,
    encoder: Path,
    written: Written = AS_SHIPPED,
    progress: Progress = silent,
) -> None:
    """Write the packages of all stages into `out`; see the top of this file.

    written: how the running application was written; mean text lengths that it does not fix
    are the index's.
    """
    opened = EmbeddedEngine.open(index)
    if opened.encoder_folder is None:
        raise SwapError(f"{index} does not contain its encoder: index the corpus again.")
    old, new = (PackagedEncoder.open(each) for each in (opened.encoder_folder, encoder))
    reader = caption_encoder_of(opened)
    layouts = {"beside": [old, new], "before": [old], "switched": [new, old], "after": [new]}
    for name, (current, *others) in layouts.items():
        write_application(
            out / name,
            current.manifest,
            opened.profiles,
            current.folder,
            {**opened.average_field_lengths, **written.average_field_lengths},
            others=others,
            captions=PackagedEncoder.open(reader) if reader else None,
            options=written.options,
            exported=out / "beside",
            progress=progress,
        )


def _download(server: ConfigServer, folder: Path) -> None:
    with whole_folder(folder) as beside:
        server.download(beside)


def _check_same(running: Path, before: Path) -> None:
    """Refuse to lose changes that were made by hand or from another index."""
    found = [change.text for change in compare(running, before)] + differences(running, before)
    if found:
        raise SwapError(
            "The running application differs from the one that this index would write "
            f"({len(found)} differences), and the swap would remove the differences: "
            f"{' '.join(found[:5])} Name the index that it was written from, deploy it again, or "
            "accept the changes with --force."
        )


class VespaMover:
    """The steps on a Vespa server; see `rocosearch.swap.job.Mover`."""

    def __init__(self, folder: Path, state: SwapState, seconds: float = 600.0) -> None:
        self._folder = folder
        self._state = state
        self._seconds = seconds
        self._candidate = folder / "candidate"

    def add(self, progress: Progress) -> None:
        """Deploy both encoders, the old one still the default."""
        self._deploy("beside", progress)

    def backfill(self, progress: Progress) -> Backfilled:
        """Update every document with its vector, then check that none is missing."""
        corpus = Corpus.open(Path(self._state.corpus))
        encoder = embedding_encoder(Path(self._state.encoder), progress)
        index = EmbeddedEngine.open(Path(self._state.index))
        fed = embed_for(corpus, encoder, index, progress)
        application = read_application(self._folder / "packages" / "beside")
        with DocumentClient(self._state.server["url"]) as client:
            source = FeedSource(corpus, (self._state.old, self._state.new), **fed)
            result = feed(source, VespaTarget(client, application), progress=progress)
            if result.refused:
                raise SwapError(
                    f"{result.refused} documents were refused; reasons in {result.dead_letters}."
                )
            progress("visit", 0, None)
            name = encoder_names(self._state.new).fingerprint
            there = set(client.ids(f'image.{name} == "{self._state.new}"'))
        found = list(documents(corpus, self._state.new, studies=fed["studies"]))
        wanted = {each.id for each in found if each.vectors}
        lacking = wanted - there
        if lacking:
            raise SwapError(
                f"{len(lacking)} documents still have no new vector, such as {min(lacking)}: run "
                "the backfill again."
            )
        return Backfilled(len(wanted), len(found))

    def reports(self, progress: Progress) -> tuple[Path, Path]:
        """Evaluate on local indexes, and query the server with both encoders.

        The profiles are the same on both, so the comparison is valid for the server; the queries
        check that it answers completely and in time (live.json).
        """
        corpus = Path(self._state.corpus)
        encoder = Path(self._state.encoder)
        build_candidate(Path(self._state.index), encoder, self._candidate, progress)
        backfill_index(self._candidate, Corpus.open(corpus), encoder, progress)
        self._compare_live(progress)
        old = evaluate_index(Path(self._state.index), corpus, self._folder / "report-old", progress)
        new = evaluate_index(self._candidate, corpus, self._folder / "report-new", progress)
        return old, new

    def switch(self, progress: Progress) -> None:
        """Deploy both encoders, the new one the default."""
        self._deploy("switched", progress)

    def switch_back(self, progress: Progress) -> None:
        """Deploy both encoders, the old one the default."""
        self._deploy("beside", progress)

    def drop_new(self, progress: Progress) -> None:
        """Deploy the old encoder alone, which removes the new vectors."""
        self._deploy("before", progress)

    def drop_old(self, progress: Progress) -> None:
        """Deploy the new encoder alone, which removes the old vectors."""
        self._deploy("after", progress)

    def clear(self) -> None:
        """Nothing to remove."""

    def _deploy(self, name: str, progress: Progress) -> None:
        deploy(
            self._folder / "packages" / name,
            self._state.server["config_url"],
            self._state.server["url"],
            seconds=self._seconds,
            progress=progress,
        )

    def _compare_live(self, progress: Progress) -> None:
        index = EmbeddedEngine.open(Path(self._state.index))
        old = index.encoder_folder
        if old is None:
            raise SwapError(f"{index.path} does not contain its encoder: index the corpus again.")
        compare_live(
            self._state.server["url"],
            read_application(self._folder / "packages" / "beside"),
            index.profiles.default,
            (old, self._candidate),
            Corpus.open(Path(self._state.corpus)),
            self._folder / "live.json",
            progress,
        )
