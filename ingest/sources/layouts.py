"""The layouts of tables and images, recognised from a folder.

Tables are recognised by their columns, not by their names: every official file of
ImageCLEFmedical Caption is called something with "Caption".

    imagefolder   metadata.csv, .jsonl or .parquet (Hugging Face `datasets`)
    parquet       Parquet files, or what `datasets.save_to_disk` wrote
    imageclef     tables of captions and of concepts over the same ids (ImageCLEF, ROCOv2)
    table         any other table with captions, and texts beside images
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath

from ingest.corpus.records import CorpusError, Reason, Rejection
from ingest.sources.columns import (
    CAPTIONS,
    Columns,
    Reading,
    find_columns,
    known_name,
    names_images,
)
from ingest.sources.fields import told_by_path
from ingest.sources.file_index import FileIndex
from ingest.sources.files import SPLITS, normal_name, suffix_of, unpacked_name, unread, unread_kinds
from ingest.sources.joins import is_above, joined_to, shared_key, with_article
from ingest.sources.sidecars import Sidecars
from ingest.sources.table import TABLE_SUFFIXES, TEXT, Table, open_table
from ingest.sources.tables import Joined, Part, TableSource

__all__ = ["TABLE_LAYOUTS", "open_tables", "tables_layout"]

TABLE_LAYOUTS = ("imageclef", "imagefolder", "parquet", "table")
DEEPEST = 4  # folders between the source and a table
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
CUI = re.compile(r"C\d+")
NAMES = ("name", "canonical_name", "concept_name", "concepts_name", "concepts_names", "string")
ORDER = ("train", "validation", "test", "")
ROWS_LOOKED_AT = 200
SHEETS = (".xlsx", ".xls", ".ods")
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
        beside = Sidecars.of(files)
        every = [key for key in _table_keys(path, files) if key not in beside.names]
        chosen = path.is_file() and suffix_of(path.name) != ".zip"
        if chosen and (cannot := unread([path.name])):
            raise CorpusError(f"{path} is not a table.{cannot}")
        first = list(filter(_of_layout(layout), every))
        for keys in (first, every) if layout == "parquet" else (first,):  # captions in a CSV file
            tables, problems = _open_all(files, keys, reading, strict=chosen or layout != "table")
            source = _source(path, layout, files, tables, reading, beside)
            if source is not None:
                _check_reading(path, tables, reading)
                return _checked(source, files, problems)
        raise CorpusError(_no_captions(path, layout, files, tables, [*problems.values()], reading))


def _check_reading(path: Path, tables: Sequence[Table], reading: Reading) -> None:
    """Refuse what is said of tables that there are not."""
    texts = any(suffix_of(unpacked_name(table.name)) in TEXT for table in tables)
    if (reading.encoding or reading.separator) and not texts:
        raise CorpusError(f"{path} has no text table: leave --encoding and --separator out.")
    if reading != Reading() and not tables:
        raise CorpusError(
            f"{path} has no table, so naming its columns has no effect: leave it out."
        )


def _of_layout(layout: str) -> Callable[[str], bool]:
    """Which files of tables a layout reads."""
    if layout == "imagefolder":
        return lambda key: PurePosixPath(key).name in METADATA
    return lambda key: (suffix_of(key) in (".parquet", ".arrow")) == (layout == "parquet")


def _checked(source: TableSource, files: FileIndex, problems: Mapping[str, str]) -> TableSource:
    """The source, with a word on each table that is not used; CorpusError if its images are none.

    Text files may be anything, and are only told of as tables where they are read as such.
    """
    pictured = any(not part.folders for part in source.parts)
    if not pictured and not files.images and (cannot := unread(files.keys)):
        raise CorpusError(
            f"{source.path} has captions, but no images that can be read.{cannot} To read the "
            f"texts alone, name the table: {source.parts[0].table.name}."
        )
    sheets = {key: unread([key]) for key in files.keys if suffix_of(key) in SHEETS}
    unused = (
        Rejection(Reason.UNUSED_TABLE, key, detail=said.strip())
        for key, said in {**problems, **sheets}.items()
        if suffix_of(key) != ".txt"
    )
    left = unread_kinds([key for key in files.keys if key not in sheets])
    return replace(source, rejections=(*source.rejections, *unused), unread=left)


def _table_keys(path: Path, files: FileIndex) -> list[str]:
    if path.is_file() and suffix_of(path.name) != ".zip":
        return [path.name]
    return [
        key
        for key in files.keys
        if suffix_of(unpacked_name(key)) in TABLE_SUFFIXES
        and key.count("/") <= DEEPEST
        and not PurePosixPath(key).name.startswith(ARROW_CACHE)
    ]


def _open_all(
    files: FileIndex, keys: Sequence[str], reading: Reading, *, strict: bool
) -> tuple[list[Table], dict[str, str]]:
    """The tables, and by name what is wrong with the others."""
    tables, problems = [], {}
    for key in keys:
        try:
            table = open_table(files.found(key), reading)
            listed = len(table.columns) > 1 or table.split or not table.columns
            if strict or listed or suffix_of(key) != ".txt":  # a text of one column is prose
                tables.append(table)
        except CorpusError as error:
            if strict and suffix_of(key) in (".parquet", ".jsonl"):
                raise
            problems[key] = str(error)
    return tables, problems


def _source(
    path: Path,
    layout: str,
    files: FileIndex,
    tables: Sequence[Table],
    reading: Reading,
    beside: Sidecars,
) -> TableSource | None:
    """The source of the tables and texts, or None if none holds captions."""
    lists = [table for table in tables if _concept_list(table)]
    tables = [table for table in tables if table not in lists]
    captions = _captions(tables, layout, reading, beside)
    if not captions:
        return None
    captions = [table for table in captions if not any(is_above(table, t) for t in captions)]
    others = [table for table in tables if table not in captions]
    bases = _bases(captions, others, files) if not reading.image else {}
    captions.sort(key=lambda t: (ORDER.index(t.split) if t.split in ORDER else 3, t.name))
    known, rejections = _known(path, lists)
    parts = []
    for table in captions:
        if table.name in bases:
            continue
        try:
            parts.append(_part(path, layout, files, table, captions, others, reading))
        except CorpusError as error:  # of a table of fields and their descriptions
            if len(captions) == 1:
                raise
            rejections = (
                *rejections,
                Rejection(Reason.UNUSED_TABLE, table.name, detail=str(error)),
            )
    for base in {table.name: table for table in bases.values()}.values():
        texts = [table for table in captions if bases.get(table.name) == base]
        parts.append(_based(path, files, base, texts, others, reading))
    if not parts:
        return None
    used = {join.table.name for part in parts for join in part.joined}
    used.update(part.table.name for part in parts)
    unused = tuple(
        Rejection(Reason.UNUSED_TABLE, table.name, detail="nothing new about rows with captions")
        for table in others
        if table.name not in used and (len(table.columns) > 1 or suffix_of(table.name) != ".txt")
    )
    label = _label(path, layout, parts)
    grouped = any(told_by_path(key, {}) for key in files.images[:ROWS_LOOKED_AT])
    return TableSource(path, layout, tuple(parts), label, known, (*rejections, *unused), grouped)


def _captions(
    tables: Sequence[Table], layout: str, reading: Reading, beside: Sidecars
) -> list[Table]:
    """The tables of captions: by their columns' names, or texts beside images, or by values."""
    if reading.captions:
        wanted = [{normal_name(name), known_name(name)} for name in reading.captions]
        found = [t for t in tables if all(names & set(t.columns) for names in wanted)]
        return found or [table for table in tables if table.columns][:1]
    found = [table for table in tables if set(table.columns) & set(CAPTIONS) or not table.columns]
    if any(table.columns for table in found):
        return found
    texts = beside.table() if layout in ("table", "imageclef") else None
    if texts is not None:
        return [texts]
    return [table for table in tables if _wordy(table)] if layout != "imageclef" else []


def _part(
    path: Path,
    layout: str,
    files: FileIndex,
    table: Table,
    captions: Sequence[Table],
    others: Sequence[Table],
    reading: Reading,
) -> Part:
    """A table of captions with what joins to it."""
    has_image = files.has if files.images else None
    columns = Columns(CAPTIONS[:1])  # of a table without a single row that can be used
    if table.columns:
        columns = find_columns(
            table.name, table.columns, table.sample(), reading, has_image, files.has_folder
        )
    otherwise = _own_split(path)
    split = (table.split or otherwise) if len(captions) > 1 else ""
    own = (columns.id, *columns.images)
    joined = joined_to(table.columns, own, others, split, files.has)
    return Part(
        table,
        columns,
        split=table.split,
        otherwise=otherwise,
        folders=_folders(table, columns, captions, layout),
        joined=joined,
        shaped=with_article if joined else dict,
    )


def _bases(
    captions: Sequence[Table], others: Sequence[Table], files: FileIndex
) -> dict[str, Table]:
    """The table of images by the name of each table of captions whose rows name none."""
    found: dict[str, Table] = {}
    for table in captions if files.images else ():
        if names_images(table.columns, table.sample(), files.has):
            continue
        for other in others:
            if shared_key(table, other) and names_images(other.columns, other.sample(), files.has):
                found[table.name] = other
                break
    return found


def _based(
    path: Path,
    files: FileIndex,
    base: Table,
    texts: Sequence[Table],
    others: Sequence[Table],
    reading: Reading,
) -> Part:
    """A table of images, whose captions come from others by a key (`uid`, `study_id`)."""
    joined = []
    for table in texts:
        key = shared_key(table, base)
        more = {name: name for name in table.columns if name not in base.columns}
        reason = Reason.MISSING_IMAGE
        joined.append(Joined(table, key, more, on=key, split=table.split, reason=reason))
    brought = dict.fromkeys(name for join in joined for name in join.columns)
    columns = (*base.columns, *brought)
    rows = ({**row, **dict.fromkeys(brought)} for row in base.sample())
    about = find_columns(base.name, columns, rows, reading, files.has)
    spoken = find_columns(texts[0].name, texts[0].columns, texts[0].sample(), reading, None)
    about = replace(about, captions=spoken.captions, joined=spoken.joined)
    left = [table for table in others if table != base]
    further = joined_to(columns, (about.id, *about.images), left, "", files.has)
    return Part(base, about, otherwise=_own_split(path), joined=(*joined, *further))


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
        return (
            f"{path} has no table of captions in the {layout} layout, only {names}: to make "
            "captions of labels or concepts, see Recipes in docs/corpus.md."
        )
    if problems:
        return problems[0]
    if files.images:
        return (
            f"{path} has {len(files.images):,} images but no captions: put a table beside them (a "
            "column of file names and a column `caption`), or a text file beside each image."
            f"{unread(files.keys)}"
        )
    return f"{path} has no table of captions and no images."
