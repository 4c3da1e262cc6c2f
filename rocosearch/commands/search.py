"""`rocosearch search`: search by text, image or examples."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.base.errors import UserError
from rocosearch.console import say, show_json, tell, telling_after
from rocosearch.no_effect import NoEffect
from rocosearch.options import (
    AsJson,
    ConfigUrl,
    DeployedPackage,
    IndexOrUrl,
    OptionalEncoder,
    ProfilesFile,
    SynonymsFile,
    parse_filters,
    parse_sort,
)

if TYPE_CHECKING:
    from ranking.searcher import Searcher
    from ranking.types import Result
    from rocosearch.page.pictures import Pictures

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch search build/index "ring lesion in the left chest"
rocosearch search build/index --image query.png --profile vector -k 5
rocosearch search build/index "ring lesion" --filter modality=ct,mri --not split=test
rocosearch search build/index "ring lesion" --filter "age>=60" --sort -age
rocosearch search build/index "ring lesion" --profile lexical --profile hybrid --facet modality
rocosearch search build/index "ring lesion" --corpus build/corpus --save build/hits
rocosearch search http://localhost:8080 "ring lesion in the left chest"
"""
NO_EFFECT = (
    NoEffect(
        "all but -k --corpus --json --app --config-url",
        "with --suggest",
        "which completes words of the whole index",
    ),
    NoEffect(
        "--facet --group --sort --corpus --heatmap --save --open",
        "with --why",
        "which explains one document's rank by score",
    ),
    NoEffect("--why --heatmap --save --open", "with several --profile", "which are compared"),
    NoEffect("--operators --synonyms --heatmap", "without TEXT"),
    NoEffect("--synonyms", "with --operators", "which say themselves what to look for"),
    NoEffect(
        "--corpus",
        "without --save or --heatmap or --open or --suggest or --json",
        "since the hits are listed without their images",
    ),
)
PATIENCE = 2.0  # seconds


def command(
    index: IndexOrUrl,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Query, in plain words.")
    ] = None,
    *,
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="FILE", help="Find images similar to this file."),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option("--like", metavar="ID", help="Id of a document as positive example."),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--unlike", metavar="ID", help="Id of a document as negative example."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Rank profile; default: that of the index. Repeatable: side by side.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of hits.")] = 10,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="FIELD=VALUES",
            help="Only hits with one of the values; numbers and dates: also >=, >, <=, <, 40..60.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="FIELD=VALUES", help="Only hits with none of the values."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Only the best hit for each value of a field, such as group_id."
        ),
    ] = None,
    facet: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD", help="Count the matches by the values of a field; repeatable."
        ),
    ] = None,
    offset: Annotated[
        int, typer.Option(min=0, help="Number of hits to skip, for the next page.")
    ] = 0,
    sort: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Sort by a field; -FIELD: descending.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="X", help="Only hits with at least this score.")
    ] = None,
    min_closeness: Annotated[
        float | None,
        typer.Option(
            metavar="X", min=0, max=1, help="Only images with at least this closeness, 0 to 1."
        ),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Of the hits found, only those right with this probability, 0 to 1; needs "
            "`rocosearch calibrate`.",
        ),
    ] = None,
    operators: Annotated[
        bool,
        typer.Option(
            "--operators", help='Read "a phrase", +must, -not and field:term in TEXT as operators.'
        ),
    ] = False,
    synonyms: SynonymsFile = None,
    why: Annotated[
        str | None,
        typer.Option("--why", metavar="ID", help="Explain the result for this document."),
    ] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Complete the last word of TEXT; search nothing.")
    ] = False,
    corpus: Annotated[
        Path | None, typer.Option(metavar="CORPUS", help="Corpus with the images of the hits.")
    ] = None,
    heatmap: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="PNG to write: where TEXT is in the best hit's image."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for images, a contact sheet and a table."),
    ] = None,
    open_sheet: Annotated[
        bool, typer.Option("--open", help="Show the images of the hits in the system's viewer.")
    ] = False,
    encoder: OptionalEncoder = None,
    profiles: ProfilesFile = None,
    package: DeployedPackage = None,
    config_url: ConfigUrl = None,
    as_json: AsJson = False,
) -> None:
    """Search an index or a running Vespa by text, image or example documents.

    Text is plain words unless --operators is set. Each hit shows the parts of its score. Vespa
    embeds texts itself if its application has an embedder; image queries need --encoder.
    """
    if text is None and image is None and not like:
        raise typer.BadParameter("Give TEXT, or --image FILE, or --like ID.")
    pictured = bool(heatmap or save or open_sheet)
    if pictured and corpus is None:
        raise typer.BadParameter("The images are in the corpus: name it with --corpus CORPUS.")
    if (heatmap or suggest) and not (text or "").strip():
        raise typer.BadParameter("--heatmap and --suggest need TEXT.")
    names = tuple(dict.fromkeys(profile or ()))
    asked: dict[str, Any] = {
        "text": text,
        "image": image,
        "like": tuple(like or ()),
        "unlike": tuple(unlike or ()),
        "k": k,
        "filters": (*parse_filters(filters or ()), *parse_filters(without or (), exclude=True)),
        "group_by": group,
        "operators": operators,
        "offset": offset,
        "sort": parse_sort(sort),
        "min_score": min_score,
        "min_closeness": min_closeness,
        "min_probability": min_probability,
        "facets": tuple(dict.fromkeys(facet or ())),
    }
    from rocosearch.printed_hits import print_rankings, print_result
    from rocosearch.searchers import searching

    pictures = _pictures(corpus, save, heatmap)
    with (
        telling_after(PATIENCE, f"Opening {index} and searching ..."),
        searching(
            index,
            encoder=encoder,
            profiles=profiles,
            package=package,
            config_url=config_url,
            synonyms=synonyms,
        ) as searcher,
    ):
        if suggest:
            _suggest(searcher, corpus, text or "", k, as_json=as_json)
            return
        if len(names) > 1:
            rankings = _rankings(searcher, names, asked, frames=as_json)
            print_rankings(rankings, pictures, as_json=as_json, first=offset + 1)
            return
        name = names[0] if names else searcher.default_profile(text or "", image or like)
        asked["profile"] = name
        if why is not None:
            _tell_why(searcher, why, asked, as_json=as_json)
            return
        result = searcher.search(**asked, frames=as_json)
        print_result(result, name, pictures, as_json=as_json, first=offset + 1)
        if pictures is not None:
            if heatmap:
                _heatmap(searcher, result, pictures, text or "", heatmap)
            _save(result, pictures, save, open_sheet=open_sheet)


def _pictures(corpus: Path | None, save: Path | None, heatmap: Path | None) -> Pictures | None:
    """Open the corpus, if named, and check the output paths before any work."""
    if corpus is None:
        return None
    from ingest.corpus.corpus import Corpus
    from rocosearch.outputs import check_file
    from rocosearch.page.pictures import Pictures
    from rocosearch.saved_hits import check_saving

    if save:
        check_saving(save)
    if heatmap:
        check_file(heatmap)
    return Pictures(Corpus.open(corpus))


def _rankings(
    searcher: Searcher, names: Sequence[str], asked: Mapping[str, Any], *, frames: bool
) -> dict[str, Result | str]:
    """The result of each profile, or why it cannot answer."""
    from ranking.types import QueryError

    found: dict[str, Result | str] = {}
    for name in names:
        try:
            found[name] = searcher.search(**asked, profile=name, frames=frames)
        except QueryError as error:
            if name not in searcher.engine.info().profiles:
                raise
            found[name] = str(error)
    if all(isinstance(each, str) for each in found.values()):
        raise UserError(str(found[names[0]]))
    return found


def _suggest(searcher: Searcher, corpus: Path | None, text: str, k: int, *, as_json: bool) -> None:
    from ranking.engine.engine import EmbeddedEngine
    from rocosearch.page.lexicon import Lexicon

    if corpus is not None:
        from ingest.corpus.corpus import Corpus

        words = Lexicon.of_corpus(Corpus.open(corpus))
    elif isinstance(searcher.engine, EmbeddedEngine):
        words = Lexicon.of_index(searcher.engine)
    else:
        raise UserError(
            "Vespa does not list the words of an index: name the corpus with --corpus CORPUS."
        )
    found = words.complete(text.rsplit(maxsplit=1)[-1], k)
    if as_json:
        show_json({"suggestions": [{"text": term, "documents": n} for term, n in found]})
        return
    for term, count in found:
        tell(f"{term}  {count:,}")
    if not found:
        tell("No word of two documents begins so.")


def _tell_why(searcher: Searcher, identifier: str, asked: Any, *, as_json: bool) -> None:  # noqa: ANN401
    from rocosearch.explain import why
    from rocosearch.printed_hits import print_parts

    told = why(searcher, identifier, **asked)
    if as_json:
        show_json(told)
        return
    tell(told["told"])
    if "score" in told:
        print_parts(told["features"], f"score {told['score']:.4f}")


def _heatmap(searcher: Searcher, result: Result, pictures: Pictures, text: str, out: Path) -> None:
    from encoders.base.storage import whole_file
    from rocosearch.heat_picture import heat_picture

    data = pictures.original(result.hits[0].picture) if result else None
    if not data:
        raise UserError("No hit has an image in that corpus.")
    drawn = heat_picture(searcher.encoder, data, text)
    with whole_file(out) as beside:
        drawn.save(beside, "PNG")
    say(f"{out}: red where {result.ids[0]} is most similar to the text. This is no diagnosis.")


def _save(result: Result, pictures: Pictures, folder: Path | None, *, open_sheet: bool) -> None:
    if folder is None and not open_sheet:
        return
    from rocosearch.saved_hits import CONTACT_SHEET, save_hits

    # One that is only looked at stays for the viewer, which may read it later.
    chosen = folder or Path(tempfile.mkdtemp(prefix="rocosearch-"), "hits")
    count = save_hits(result.hits, pictures, chosen)
    say(f"{chosen}: {count} of {len(result)} hits have an image.")
    if open_sheet:
        typer.launch(str(chosen / CONTACT_SHEET))
