"""The layouts of tables and images, recognised from a folder.

Tables are recognised by their columns, not by their names: every official file of
ImageCLEFmedical Caption is called something with "Caption".

    imagefolder   metadata.csv, .jsonl or .parquet (Hugging Face `datasets`)
    parquet       Parquet files, or what `datasets.save_to_disk` wrote
    imageclef     tables of captions and of concepts over the same ids (ImageCLEF, ROCOv2)
    table         any other table with captions, and images with a text file beside each
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.columns import (
    CAPTIONS,
    CONCEPTS,
    ID,
    IMAGES_AND_ID,
    Columns,
    Reading,
    find_columns,
)
from ingest.sources.file_index import FileIndex
from ingest.sources.files import SPLITS, suffix_of
from ingest.sources.table import TABLE_SUFFIXES, Table, TableRow, open_table
from ingest.sources.tables import Joined, Part, TableSource
from ingest.sources.text_table import encoding_of, undecodable

__all__ = ["TABLE_LAYOUTS", "open_tables", "tables_layout"]

TABLE_LAYOUTS = ("imageclef", "imagefolder", "parquet", "table")
DEEPEST = 4  # folders between the source and a table
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
LICENCES = ("licence", "license", "attribution", "link", "cc", "licence_name", "license_name")
ARTICLE = re.compile(r"PMC\d+")
CUI = re.compile(r"C\d+")
NAMES = ("name", "canonical_name", "concept_name", "concepts_name", "concepts_names", "string")
ORDER = ("train", "validation", "test", "")
ARROW_CACHE = "cache-"


def tables_layout(path: Path) -> str:
    """Which of the layouts of tables `path` shows, or "" if there is neither table nor image."""
    with FileIndex(path) as files:
        keys = _table_keys(path, files)
        names = {PurePosixPath(key).name for key in keys}
        if names & set(METADATA):
            return "imagefolder"
        if any(suffix_of(key) in (".parquet", ".arrow") for key in keys):
            return "parquet"
        if any("concept" in name.lower() or "caption_prediction" in name.lower() for name in names):
            return "imageclef"
        return "table" if keys or files.images else ""


def open_tables(path: Path, layout: str, reading: Reading) -> TableSource:
    """The data set at `path` in a layout of tables; raises CorpusError if it has no captions."""
    with FileIndex(path) as files:
        keys = _table_keys(path, files)
        if layout == "imagefolder":
            keys = [key for key in keys if PurePosixPath(key).name in METADATA]
        elif layout == "parquet":
            keys = [key for key in keys if suffix_of(key) in (".parquet", ".arrow")]
        else:
            keys = [key for key in keys if suffix_of(key) not in (".parquet", ".arrow")]
        chosen = path.is_file() and suffix_of(path.name) != ".zip"
        tables, problems = _open_all(files, keys, reading, strict=chosen or layout != "table")
        source = _source(path, layout, files, tables, reading)
        if source is not None:
            return source
        pairs = _sidecars(files) if layout == "table" else None
        if pairs is not None:
            return TableSource(path, layout, (pairs,), _label(path))
        raise CorpusError(_no_captions(path, layout, files, tables, problems, reading))


def _table_keys(path: Path, files: FileIndex) -> list[str]:
    if path.is_file() and suffix_of(path.name) != ".zip":
        return [path.name]
    return [
        key
        for key in files.keys
        if suffix_of(key) in TABLE_SUFFIXES
        and key.count("/") <= DEEPEST
        and not PurePosixPath(key).name.startswith(ARROW_CACHE)
    ]


def _open_all(
    files: FileIndex, keys: Sequence[str], reading: Reading, *, strict: bool
) -> tuple[list[Table], list[str]]:
    tables, problems = [], []
    for key in keys:
        if suffix_of(key) == ".txt" and _beside_an_image(key, files):
            continue
        try:
            tables.append(open_table(files.found(key), reading))
        except CorpusError as error:
            if strict and suffix_of(key) in (".parquet", ".jsonl"):
                raise
            problems.append(str(error))
    return tables, problems


def _source(
    path: Path, layout: str, files: FileIndex, tables: Sequence[Table], reading: Reading
) -> TableSource | None:
    """The source of the tables, or None if none holds captions."""
    lists = [table for table in tables if _concept_list(table)]
    tables = [table for table in tables if table not in lists]
    captions = [
        table
        for table in tables
        if reading.captions or set(table.columns) & set(CAPTIONS) or not table.columns
    ]
    if not captions and layout in ("table", "parquet"):  # no name tells: the values may
        captions = [table for table in tables if _wordy(table)]
    others = [table for table in tables if table not in captions]
    captions = [table for table in captions if table.columns] and captions
    if not captions:
        return None
    captions.sort(key=lambda t: (ORDER.index(t.split) if t.split in ORDER else 3, t.name))
    known, rejections = _known(path, lists)
    parts = []
    for table in captions:
        has_image = files.has if files.images else None
        columns = Columns(CAPTIONS[:1])  # of a table without a single row that can be used
        if table.columns:
            columns = find_columns(table.name, table.columns, table.sample(), reading, has_image)
        part = Part(
            table,
            columns,
            split=table.split,
            otherwise=_own_split(path),
            folders=_folders(table, columns, captions, layout),
        )
        joined = _joined(table, part.split or part.otherwise, others, alone=len(captions) == 1)
        parts.append(replace(part, joined=joined, shaped=_with_article if joined else dict))
    return TableSource(path, layout, tuple(parts), _label(path, layout, parts), known, rejections)


def _own_split(path: Path) -> str:
    """The split that a folder holds as a whole, told by its name."""
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    return SPLITS.get(folder.name.lower(), "")


def _label(path: Path, layout: str = "", parts: Sequence[Part] = ()) -> str:
    """What `source` of the records says: the data set's own name, or its folder's."""
    if layout == "imageclef":
        first = next(iter(islice(parts[0].table.sample(), 1)), {})
        return "ROCOv2" if "ROCOv2" in str(first.get(parts[0].columns.id)) else "ImageCLEF"
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    return folder.parent.name if _own_split(path) else folder.name


def _folders(
    table: Table, columns: Columns, captions: Sequence[Table], layout: str
) -> tuple[str, ...]:
    """Where a table's images lie: at and below it, or anywhere; nowhere where it holds them."""
    column = next(iter(columns.images), "")
    values = (row.get(column) for row in islice(table.sample(), 200))
    if any(isinstance(v, bytes) or (isinstance(v, dict) and v.get("bytes")) for v in values):
        return ()
    if layout == "imagefolder" and not any(other.folder == "" for other in captions):
        return (table.folder,)
    return ("",)


def _wordy(table: Table) -> bool:
    try:
        find_columns(table.name, table.columns, table.sample(), Reading(), None)
    except CorpusError:
        return False
    return True


def _concept_list(table: Table) -> bool:
    """Whether the table is a list of concepts and their names, rather than of images."""
    rows = list(islice(table.sample(), 5))
    first = [str(row.get(table.columns[0], "")).strip() for row in rows]
    return len(table.columns) > 1 and bool(rows) and all(CUI.fullmatch(value) for value in first)


def _known(path: Path, lists: list[Table]) -> tuple[dict[str, str], tuple[Rejection, ...]]:
    """Names of concepts by id, of all lists of them, and the lines that say nothing."""
    above = path.resolve().parent
    if not lists and path.is_dir() and _own_split(path):
        lists = [
            table
            for name in ("concepts.txt", "concepts.csv", "cui_mapping.csv", "concepts_names.csv")
            if (above / name).is_file()
            for table in [open_table(FileIndex(above / name).found(name))]
        ]
    known: dict[str, str] = {}
    wrong: list[Rejection] = []
    for table in lists:
        column = next((name for name in NAMES if name in table.columns), table.columns[1])
        for row in table.rows():
            if isinstance(row, Rejection):
                wrong.append(row)
                continue
            concept = str(row.values.get(table.columns[0])).strip()
            name = str(row.values.get(column) or "").strip().strip('"')
            if name:
                known[concept] = name
            else:
                wrong.append(
                    Rejection(Reason.MALFORMED_ROW, table.name, row.line, detail="no name")
                )
    return known, tuple(wrong)


def _joined(
    table: Table, split: str, others: Sequence[Table], *, alone: bool
) -> tuple[Joined, ...]:
    """The tables about the same ids: concepts, checked concepts, licences; of the same split."""
    found = []
    for other in others:
        key = next((name for name in (*ID, *sorted(IMAGES_AND_ID)) if name in other.columns), "")
        if not key or _concept_list(other):
            continue
        columns = {name: name for name in LICENCES if name in other.columns}
        columns |= {name: "article_id" for name in ("pmcid", "pmc_id") if name in other.columns}
        concepts = next((name for name in CONCEPTS if name in other.columns), "")
        if concepts:
            manual = "manual" in other.name.lower() or "manuel" in other.name.lower()
            columns[concepts] = "manual_concepts" if manual else "concepts"
        if columns and (alone or other.split in ("", split)):
            found.append(Joined(other, key, columns, told=bool(concepts) and bool(other.split)))
    return tuple(found)


def _with_article(values: Mapping[str, object]) -> dict[str, object]:
    """The row with the article and licence that ROCOv2's licence table tells of."""
    made = dict(values)
    article = ARTICLE.search(" ".join(str(made.get(name) or "") for name in ("article_id", "link")))
    if article:
        made["article_id"] = article.group()
    licence = re.search(r"CC[ -]?BY[A-Z-]*(?: \d\.\d)?", str(made.get("attribution") or ""))
    if licence and not made.get("licence"):
        made["licence"] = licence.group()
    return made


def _beside_an_image(key: str, files: FileIndex) -> bool:
    path = PurePosixPath(key)
    return files.has(path.stem) and path.stem not in ("captions", "concepts")


def _sidecars(files: FileIndex) -> Part | None:
    """A part of images that have a text file of the same name beside them."""
    texts = {key for key in files.keys if suffix_of(key) == ".txt"}
    pairs = [
        (image, text)
        for image in files.images
        if (text := PurePosixPath(image).with_suffix(".txt").as_posix()) in texts
    ]
    if not pairs:
        return None
    read: dict[str, str] = {}
    for _, text in pairs:
        found = files.found(text)
        try:
            with found.open() as stream:
                encoding = encoding_of(found)
                read[text] = stream.read(1 << 20).decode(encoding, undecodable(encoding))
        except (OSError, ImageRejectedError):
            read[text] = ""

    def rows() -> Iterator[TableRow | Rejection]:
        for number, (image, text) in enumerate(pairs, 1):
            yield TableRow(number, {"file_name": image, "caption": " ".join(read[text].split())})

    names = ("file_name", "caption")
    table = Table("*.txt", f"{len(pairs):,} text files, each beside its image", names, names, rows)
    return Part(table, Columns(("caption",), ("file_name",)))


def _no_captions(
    path: Path,
    layout: str,
    files: FileIndex,
    tables: Sequence[Table],
    problems: Sequence[str],
    reading: Reading,
) -> str:
    if tables:
        has_image = files.has if files.images else None
        table = tables[0]
        if not table.columns:
            return f"{table.name} has no readable row."
        try:
            find_columns(table.name, table.columns, table.sample(), reading, has_image)
        except CorpusError as error:
            return str(error)
        names = ", ".join(table.name for table in tables[:5])
        return f"{path} has no table of captions in the {layout} layout, only {names}."
    if problems:
        return problems[0]
    if files.images:
        return (
            f"{path} has {len(files.images):,} images but no captions: put a table beside them (a "
            "column of file names and a column `caption`), or a text file beside each image."
        )
    return f"{path} has no table of captions and no images."
