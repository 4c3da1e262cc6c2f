"""`rocosearch search`: search by text, image or examples."""

from __future__ import annotations

import math
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.padding import Padding
from rich.text import Text

from encoders.base.errors import UserError
from rocosearch.console import results, say, show, show_json, telling_after, visible
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
    from ranking.types import Hit, Result
    from rocosearch.page.pictures import Pictures

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch search build/index "ring lesion in the left chest"
rocosearch search build/index --image query.png --profile vector -k 5
rocosearch search build/index "ring lesion" --filter modality=ct,mri --not split=test
rocosearch search build/index "ring lesion" --filter "age>=60" --sort -age
rocosearch search build/index "ring lesion" --corpus build/corpus --save build/hits
rocosearch search http://localhost:8080 "ring lesion in the left chest"
"""
PATIENCE = 2.0  # seconds
CAPTION_WIDTH = 200
INDENT = (0, 0, 0, 5)


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
        str | None, typer.Option(metavar="NAME", help="Rank profile; default: that of the index.")
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
        typer.Option(metavar="X", help="Only images with at least this closeness, 0 to 1."),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(
            metavar="P",
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
    if (heatmap or save or open_sheet) and corpus is None:
        raise typer.BadParameter("The images are in the corpus: name it with --corpus CORPUS.")
    if heatmap and not (text or "").strip():
        raise typer.BadParameter("--heatmap needs TEXT.")
    asked: dict[str, Any] = {
        "text": text,
        "image": image,
        "like": tuple(like or ()),
        "unlike": tuple(unlike or ()),
        "profile": profile,
        "k": k,
        "filters": (*parse_filters(filters or ()), *parse_filters(without or (), exclude=True)),
        "group_by": group,
        "operators": operators,
        "offset": offset,
        "sort": parse_sort(sort),
        "min_score": min_score,
        "min_closeness": min_closeness,
        "min_probability": min_probability,
    }
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
        if why is not None:
            _tell_why(searcher, why, asked, as_json=as_json)
            return
        result = searcher.search(**asked, frames=as_json)
        asked["profile"] = profile or searcher.default_profile(text or "", image or like)
        _print(result, asked["profile"], pictures, as_json=as_json, first=offset + 1)
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


def _print(
    result: Result, profile: str, pictures: Pictures | None, *, as_json: bool, first: int
) -> None:
    for warning in result.warnings:
        say(warning, style="yellow")
    if as_json:
        show_json(_as_json(result, profile, pictures))
        return
    if not result:
        results.print("No hit.")
        return
    for rank, hit in enumerate(result, first):
        _show(rank, hit)
    results.print(f"{len(result)} of {result.total:,} matches.")


def _as_json(result: Result, profile: str, pictures: Pictures | None) -> dict[str, object]:
    return {
        "profile": profile,
        "hits": [_hit_as_json(hit, pictures) for hit in result],
        "total": result.total,
        "coverage": {
            "percent": result.coverage.percent,
            "documents": result.coverage.documents,
            "degraded": list(result.coverage.degraded),
        },
        "timing": dict(result.timing),
        "warnings": list(result.warnings),
    }


def _hit_as_json(hit: Hit, pictures: Pictures | None) -> dict[str, object]:
    document = hit.document
    shown = (
        {
            "caption": document.caption,
            "concepts": list(document.concepts),
            "group_id": document.group_id,
            "modality": document.modality,
            "image_url": document.image_url,
            **document.attributes,
        }
        if document
        else {}
    )
    path = {"path": pictures.path(hit.picture)} if pictures else {}
    frames = {"closest": dict(hit.closest), "frames": dict(hit.frames)} if hit.closest else {}
    features = {"features": dict(hit.features), **frames}
    chance = {} if math.isnan(hit.probability) else {"probability": hit.probability}
    return {"id": hit.id, "score": hit.score, **chance, **features, **shown, **path}


def _show(rank: int, hit: Hit) -> None:
    results.print(f"{rank:>3}  {hit.score:.4f}  {visible(hit.id)}", style="bold")
    caption = (hit.document.caption if hit.document else "") or "(no caption)"
    short = textwrap.shorten(caption, CAPTION_WIDTH, placeholder=" ...")
    show(Padding(Text(visible(short)), INDENT), wrap=True)
    chance = [] if math.isnan(hit.probability) else [f"probability {hit.probability:.2f}"]
    parts = [
        *chance,
        _parts(hit.features),
        *(_closest(label) for label in hit.closest.values() if label),
    ]
    show(Padding(Text("  ".join(parts), style="dim"), INDENT), wrap=True)


def _closest(label: str) -> str:
    """The nearest image of a study: a frame by its number, which stands behind the record's id."""
    image, _, frame = label.rpartition("#")
    return f"best frame {frame} of {visible(image)}" if image else f"best image {visible(label)}"


def _parts(features: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in features.items())


_VERDICTS = {
    "absent": "It is not in the index.",
    "excluded": "It is an example of the query, and examples are not returned as hits.",
    "filtered": "It does not pass the filters: {by}.",
    "cut": "It is below --min-score, --min-closeness or --min-probability.",
    "not matched": "It contains no word of the query, and it has no vector.",
    "not retrieved": "It contains no word of the query, and it is not among the nearest "
    "neighbours.",
    "matched": "It is at rank {rank:,}.",
    "low": "It matches, but its rank is beyond 10,000.",
}


def _tell_why(searcher: Searcher, identifier: str, asked: Any, *, as_json: bool) -> None:  # noqa: ANN401
    from rocosearch.why import why

    told = why(searcher, identifier, **asked)
    if as_json:
        show_json(told)
        return
    values = {"rank": told.get("rank", 0), "by": "; ".join(told.get("by", ()))}
    results.print(f"{identifier}: {_VERDICTS[told['verdict']].format(**values)}")
    if "score" in told:
        parts = f"score {told['score']:.4f}  {_parts(told['features'])}"
        show(Padding(Text(parts, style="dim"), INDENT), wrap=True)


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
