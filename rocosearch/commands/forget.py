"""`rocosearch forget`: take a patient out of everything that was made of the files."""

from __future__ import annotations

from typing import Annotated

import typer

from rocosearch.commands.source import KeyFile
from rocosearch.console import progress_bars, show_json, tell
from rocosearch.options import AsJson, CorpusFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch forget 4711 --key build/hospital.key build/hospital build/hospital-index
rocosearch forget patient-0f3a9c1e55d2b871 --key build/hospital.key build/hospital http://localhost:8080
"""


def command(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="The patient's id, or its pseudonym.")
    ],
    corpus: CorpusFolder,
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INDEX|URL]...", help="Indexes and Vespa servers that were fed."),
    ] = None,
    *,
    key: KeyFile,
    as_json: AsJson = False,
) -> None:
    """Remove a patient from a corpus, its vectors, indexes and servers.

    What an encoder learned cannot be removed from it: the command says which ones may have been
    trained on the patient's images, so that they can be trained anew.
    """
    from rocosearch.forgetting import forget

    with progress_bars() as progress:
        told = forget(subject, corpus, targets or [], key, progress)
    if as_json:
        show_json({"corpus": str(corpus), **told})
        return
    tell(f"{corpus}: {told['records']:,} records of {told['subject']} are gone.")
    for target, removed in told["removed"].items():
        tell(f"{target}: {removed:,} documents removed.")
    if told["trained"]:
        names = ", ".join(name[:8] for name in told["encoders"]) or "none that embedded the corpus"
        tell(
            f"{told['trained']:,} of the records stood in the training split. Encoders that may "
            f"have been trained on them: {names}. Train them anew on {corpus}."
        )
    if told["predictions"]:
        tell(
            "The corpus had labels, and words of the patient's captions may stand in those of "
            "other images, in indexes and servers too: label, index and feed again."
        )
    tell(
        "Backups, exports, feed files and reports are not searched: take the patient out of those."
    )
