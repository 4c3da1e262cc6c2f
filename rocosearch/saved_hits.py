"""Save hits: contact sheet, table, Hugging Face data set.

FOLDER/contact.png              the images in order, each with rank and id
FOLDER/hits.csv                 rank, id, score, features, caption, study, modality, fields, path
FOLDER/dataset/metadata.jsonl   the same beside file_name: load_dataset("imagefolder", ...)
FOLDER/dataset/*.png, *.jpg     the images: unchanged, or converted to PNG
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from encoders.base.errors import UserError
from encoders.base.storage import whole_folder
from encoders.images.preprocess import open_image
from ranking.types import Hit
from rocosearch.console import finite
from rocosearch.outputs import check_replaceable
from rocosearch.page.pictures import Pictures

__all__ = ["CONTACT_SHEET", "TABLE", "check_saving", "row_of", "save_hits"]

CONTACT_SHEET, TABLE = "contact.png", "hits.csv"
CELL, LINE, COLUMNS = 240, 18, 5  # pixels, pixels, pictures in a row
_KEPT = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def check_saving(folder: Path) -> None:
    """Refuse a folder with other contents, before the search."""
    check_replaceable(folder, TABLE, "saved hits")


def save_hits(hits: Sequence[Hit], pictures: Pictures, folder: Path) -> int:
    """Write the folder, replacing an older one; return the number of hits with an image."""
    check_saving(folder)
    rows = [row_of(rank, hit, pictures.path(hit.picture)) for rank, hit in enumerate(hits, 1)]
    with whole_folder(folder) as beside:
        images = beside / "dataset"
        images.mkdir()
        lines, shown = [], []
        for row, hit in zip(rows, hits, strict=True):
            data = pictures.original(hit.picture) or b""
            image = _opened(data)
            shown.append((row, image))
            if image is not None:
                name = _write(row["rank"], data, image, images)
                lines.append(json.dumps(finite({"file_name": name, **row}), ensure_ascii=False))
        (images / "metadata.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        _contact_sheet(shown).save(beside / CONTACT_SHEET)
        _table(rows, beside / TABLE)
    return len(lines)


def row_of(rank: int, hit: Hit, path: str) -> dict[str, Any]:
    """A hit as plain values. path: the image's name in the source."""
    document = hit.document
    return {
        "rank": rank,
        "id": hit.id,
        "score": hit.score,
        **{name: value for name, value in hit.features.items() if math.isfinite(value)},
        "caption": (document.caption if document else "") or "",
        "study": document.group_id if document else "",
        "modality": document.modality if document else "",
        **(document.attributes if document else {}),
        "path": path,
    }


def _opened(data: bytes) -> Image.Image | None:
    try:
        return open_image(data).convert("RGB") if data else None
    except UserError:
        return None


def _write(rank: int, data: bytes, image: Image.Image, folder: Path) -> str:
    suffix = next((kind for start, kind in _KEPT.items() if data.startswith(start)), "")
    path = folder / f"{rank:04d}{suffix or '.png'}"
    if suffix:
        path.write_bytes(data)
    else:
        image.save(path)
    return path.name


def _contact_sheet(shown: Sequence[tuple[dict[str, Any], Image.Image | None]]) -> Image.Image:
    columns = min(COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    sheet = Image.new("RGB", (columns * CELL, rows * (CELL + LINE)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (row, image) in enumerate(shown):
        left, top = place % columns * CELL, place // columns * (CELL + LINE)
        if image is not None:
            small = image.copy()
            small.thumbnail((CELL - 6, CELL - 6))
            middle = (left + (CELL - small.width) // 2, top + (CELL - small.height) // 2)
            sheet.paste(small, middle)
        words = f"{row['rank']}  {row['id']}".encode("ascii", "replace").decode()
        pen.text((left + 4, top + CELL), words[: CELL // 7], fill="black")
    return sheet


def _table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["rank", "id", "score"]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(names)
    writer.writerows([_defused(row.get(name, "")) for name in names] for row in rows)
    path.write_text(stream.getvalue(), "utf-8")


def _defused(value: object) -> object:
    """Put an apostrophe before a text that a spreadsheet would read as a formula."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULAS):
        return f"'{value}"
    return value
