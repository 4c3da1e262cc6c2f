"""Reader for ROCO as its authors distribute it.

    data/{train,validation,test}/radiology/
        captions.txt cuis.txt keywords.txt semtypes.txt dlinks.txt   id, tab, values
        licences.txt                                                 comma-separated, with header
        images/ROCO_00001.jpg                                        optional, as is each image

Early downloads name the images as licences.txt does: `PMC1234567_JOUR-1-2-g003.jpg`.

O. Pelka et al., "Radiology Objects in COntext (ROCO): A Multimodal Image Dataset", 2018;
https://github.com/razorx89/roco-dataset
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.columns import Columns
from ingest.sources.file_index import FileIndex
from ingest.sources.files import Found, split_of
from ingest.sources.joins import ARTICLE
from ingest.sources.table import Table, TableRow, open_table
from ingest.sources.tables import Joined, Part, TableSource

__all__ = ["looks_like_roco", "open_roco"]

CAPTIONS = "captions.txt"
PATTERNS = tuple(
    f"{above}{CAPTIONS}" for above in ("", "radiology/", "*/radiology/", "*/*/radiology/")
)
LISTS = ("cuis", "keywords", "semtypes", "dlinks")
LINES_LOOKED_AT = 20


def looks_like_roco(path: Path) -> bool:
    """Whether `path`, or a folder a few levels below it, holds ROCO's caption file.

    Elsewhere, a file of that name may be a table with other separators.
    """
    return any(
        folder.resolve().name == "radiology" or _has_tabs(folder) for folder in _folders(path)
    )


def _has_tabs(folder: Path) -> bool:
    with (folder / CAPTIONS).open("rb") as stream:
        return b"\t" in stream.readline(1 << 20)


def open_roco(path: Path) -> TableSource:
    """All `radiology/` folders at or below `path` (`non-radiology/` is left alone)."""
    folders = _folders(path)
    if not folders:
        raise CorpusError(f"{path} is not ROCO: no radiology/{CAPTIONS} at or below it.")
    with FileIndex(path) as files:
        parts = tuple(_part(path, folder, files) for folder in folders)
    return TableSource(path, "roco", parts, "ROCO")


def _folders(path: Path) -> list[Path]:
    return sorted({file.parent for pattern in PATTERNS for file in path.glob(pattern)})


def _part(path: Path, folder: Path, files: FileIndex) -> Part:
    below = folder.relative_to(path).as_posix()
    prefix = "" if below == "." else f"{below}/"
    joined = [
        Joined(_tabbed(files.found(f"{prefix}{name}.txt"), name), "id", {name: name})
        for name in LISTS
        if (folder / f"{name}.txt").is_file()
    ]
    if (folder / "licences.txt").is_file():
        table = open_table(files.found(f"{prefix}licences.txt"))
        columns = {"pmc_id": "figure", "cc": "licence", "licence": "licence"}
        joined.append(
            Joined(table, "roco_id", {k: v for k, v in columns.items() if k in table.columns})
        )
    return Part(
        _tabbed(files.found(f"{prefix}{CAPTIONS}"), ""),
        Columns(("caption",), ("id",), "id"),
        split=split_of(folder.resolve().parent.name),
        folders=(f"{prefix}images",),
        joined=tuple(joined),
        names=lambda values: [str(values["id"]), str(values.get("figure") or "")],
        shaped=_shaped,
        image_needed=False,  # figures vanish online
    )


def _tabbed(found: Found, listed: str) -> Table:
    """A file of an id, a tab and a text; or, where `listed` names them, a list of texts.

    Only line feeds end a line: captions hold other control characters. Raises CorpusError where
    the file is not tab-separated at all.
    """
    with found.open() as stream:
        first = [line for _, line in zip(range(LINES_LOOKED_AT), stream, strict=False)]
    if first and not any(b"\t" in line for line in first):
        raise CorpusError(
            f"{found.name} should be separated by tabs, but its first lines have none: put a tab "
            "between id and text."
        )

    def rows() -> Iterator[TableRow | Rejection]:
        with found.open() as stream:
            for number, raw in enumerate(stream, 1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
                key, tab, rest = text.rstrip("\r\n").partition("\t")
                if listed and text.strip():
                    parts = [part.strip() for part in rest.split("\t") if part.strip()]
                    yield TableRow(number, {"id": key, listed: parts})
                elif tab:
                    yield TableRow(number, {"id": key.strip(), "caption": rest})
                elif text.strip():
                    name = key.encode("utf-8", "replace").decode().strip()
                    detail = "1 field between tabs, 2 expected"
                    yield Rejection(Reason.MALFORMED_ROW, found.name, number, name, detail)

    columns = ("id", listed or "caption")
    return Table(found.name, "tabs, no header", columns, columns, rows)


def _shaped(values: Mapping[str, Any]) -> dict[str, Any]:
    command, file_name = ([*(values.get("dlinks") or []), "", ""])[:2]
    figure = str(values.get("figure") or "")
    article = ARTICLE.search(command) or ARTICLE.search(figure)
    pairs = values.get("semtypes") or []
    return {
        "id": values["id"],
        "caption": values["caption"],
        "cuis": values.get("cuis") or [],
        "article_id": article.group() if article else "",
        "licence": values.get("licence") or "",
        "keywords": values.get("keywords") or None,
        "semtypes": [list(pair) for pair in zip(pairs[::2], pairs[1::2], strict=False)] or None,
        "figure": figure or file_name,
        "download": command,
    }
