"""`rocosearch source`: find the DICOM file of a hit, with the key of the pseudonyms."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from encoders.base.errors import UserError
from rocosearch.console import show_json, tell
from rocosearch.options import AsJson, IndexFolder

__all__ = ["EXAMPLE", "KeyFile", "command"]

EXAMPLE = """\
rocosearch source build/hospital-index dicom-6cbbb1f2ab8e41d0 --key build/hospital.key
rocosearch source build/hospital-index dicom-6cbbb1f2ab8e41d0 --key build/hospital.key --viewer "https://pacs/viewer?StudyInstanceUIDs={study}"
"""

KeyFile = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="Key file of the pseudonyms; never share it.")
]


def command(
    index: IndexFolder,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Id of a hit.")],
    *,
    key: KeyFile,
    viewer: Annotated[
        str,
        typer.Option(
            metavar="URL", help="URL of a PACS viewer with {study}, {series} or {instance}."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print the DICOM file and frame of a hit.

    This needs the key and the file FILE.sources beside it. With --viewer, print the URL of the
    study in a PACS viewer.
    """
    from ingest.sources.pseudonyms import Pseudonyms
    from rocosearch.pipeline import open_engine

    if viewer and not any(f"{{{part}}}" in viewer for part in ("study", "series", "instance")):
        raise UserError("--viewer names none of {study}, {series} and {instance}: add one.")
    found = Pseudonyms.at(key).source(identifier)
    if found is None or open_engine(index).get(identifier) is None:
        place = f"{index} has no document" if found else f"{key} has no file for"
        raise UserError(f"{place} {identifier!r}.")
    link = ""
    if viewer:
        uids = {"study": found.study, "series": found.series, "instance": found.instance}
        link = viewer
        for name, uid in uids.items():
            link = link.replace(f"{{{name}}}", quote(uid, safe=""))
    if as_json:
        show_json({**asdict(found), **({"viewer": link} if link else {})})
        return
    tell(found.file + (f", frame {found.frame}" if found.frame else ""))
    if link:
        tell(link)
