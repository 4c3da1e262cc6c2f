"""`rocosearch feed`: sync a server or an index with the corpus, sending only changes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rocosearch.console import progress_bars, results, say, show_json
from rocosearch.no_effect import NoEffect
from rocosearch.options import (
    AsJson,
    CaptionEncoder,
    CaptionVectors,
    ConfigUrl,
    CorpusFolder,
    DeployedPackage,
    Studies,
)

if TYPE_CHECKING:
    from ingest.feed.feed import FeedResult

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch feed build/corpus build/encoder --to http://localhost:8080
rocosearch feed build/corpus build/encoder --to build/index
rocosearch feed build/corpus build/encoder --app build/app --jsonl feed.jsonl
"""
NO_EFFECT = (
    NoEffect("--delete --reconcile", "with --jsonl", "since a file has no target"),
    NoEffect("--app --config-url", "without a URL or --jsonl"),
    NoEffect("--caption-vectors --caption-encoder", "without ENCODER", "since captions are fed"),
)


def command(
    corpus: CorpusFolder,
    encoder: Annotated[
        Path | None,
        typer.Argument(
            metavar="ENCODER", help="Encoder whose vectors are fed; without it, captions only."
        ),
    ] = None,
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL|INDEX", help="Target of the feed.")
    ] = None,
    view: Annotated[
        Literal["full", "split-caption"],
        typer.Option(
            help="split-caption feeds second halves of captions, for that evaluation protocol."
        ),
    ] = "full",
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Also remove documents that are no longer in the corpus."),
    ] = False,
    studies: Studies = False,
    captions: CaptionVectors = False,
    caption_encoder: CaptionEncoder = None,
    visit: Annotated[
        bool, typer.Option("--reconcile", help="First read the ids that the target really has.")
    ] = False,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
    jsonl: Annotated[
        Path | None,
        typer.Option("--jsonl", metavar="FILE", help="Write a file for `vespa feed` instead."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sync a server or an index with the corpus, sending only changes.

    A ledger beside the corpus records what the target confirmed, so a killed feed resumes where
    it stopped. Documents that the target refuses are written with their reasons to a file of
    dead letters, and the exit code is 1.
    """
    if (to is None) == (jsonl is None):
        raise typer.BadParameter("Give either --to URL|INDEX or --jsonl FILE.")
    from rocosearch.vespa_jobs import Server, feed_corpus, find_application, write_feed

    if jsonl:
        if not (package or config_url):
            raise typer.BadParameter("--jsonl needs --app APP or --config-url URL.")
        application = find_application(Server("", package, config_url))
        with progress_bars() as progress:
            lines, left_out = write_feed(
                corpus,
                encoder,
                application,
                jsonl,
                view=view,
                studies=studies,
                captions=captions,
                caption_encoder=caption_encoder,
                progress=progress,
            )
        _show_file(jsonl, lines, left_out, as_json=as_json)
        return
    with progress_bars() as progress:
        result, found = feed_corpus(
            corpus,
            encoder,
            Server(to or "", package, config_url),
            view=view,
            delete=delete,
            visit=visit,
            studies=studies,
            captions=captions,
            caption_encoder=caption_encoder,
            progress=progress,
        )
    if as_json:
        show_json(
            {
                **asdict(result),
                "dead_letters": str(result.dead_letters or ""),
                "reconciled": asdict(found) if found else None,
            }
        )
    else:
        if found:
            if found.why:
                say(f"{found.why} The ledger was corrected from the target's ids.", style="yellow")
            results.print(
                f"The target has {found.visited:,} documents: {len(found.lost):,} were lost and "
                f"will be fed again, {len(found.changed):,} were changed there and will be fed "
                f"again, {len(found.unknown):,} are not in the ledger and are kept."
            )
        _show(result)
    if result.refused:
        raise typer.Exit(1)


def _show(result: FeedResult) -> None:
    if result.restarted:
        say("The index was rebuilt since the last feed, so the ledger starts again.")
    results.print(
        f"{result.put:,} put, {result.updated:,} updated, {result.removed:,} removed, "
        f"{result.unchanged:,} unchanged, in {result.seconds:.1f} s; {result.tries_again:,} "
        "requests were retried."
    )
    if result.refused:
        say(f"{result.refused:,} refused: reasons in {result.dead_letters}.", style="red")


def _show_file(out: Path, lines: int, left_out: list[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        show_json({"file": str(out), "documents": lines, "left_out": dict(left_out)})
    else:
        results.print(f"{out}: {lines:,} documents. Feed it with: vespa feed {out}")
        for identifier, reason in left_out:
            say(f"left out: {identifier}: {reason}", style="red")
    if left_out:
        raise typer.Exit(1)
