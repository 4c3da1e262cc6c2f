"""`rocosearch forget`: remove a patient from corpora, indexes and servers."""

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


SEEN = {
    "trained": "was trained on the patient: train it again, and embed again.",
    "validated": "was validated on the patient, and learned nothing from it.",
    "nothing": "was made without the patient.",
    "unknown": "has no record of what it was trained on: it may have been on the patient.",
}


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

    What an encoder learned cannot be removed from it: of each encoder that embedded the corpus the
    command says whether it was trained on the patient, so that you can train it again.
    """
    from rocosearch.forgetting import forget

    with progress_bars() as progress:
        told = forget(subject, corpus, targets or [], key, progress)
    if as_json:
        show_json({"corpus": str(corpus), **told})
        return
    tell(f"{corpus}: {told['records']:,} records of {told['subject']} were removed.")
    for target, removed in told["removed"].items():
        tell(f"{target}: {removed:,} documents removed.")
    for name, seen in told["encoders"].items():
        tell(f"Encoder {name[:8]} {SEEN[seen]}")
    if told["trained"]:
        tell(
            f"{told['trained']:,} of the records stood in the training split: encoders that never "
            "embedded this corpus may have been trained on them too."
        )
    if told["predictions"]:
        tell(
            "The corpus had labels, and words of the patient's captions may stand in those of "
            "other images, in indexes and servers too: label, index and feed again."
        )
    if told["judgements"]:
        tell(f"{told['judgements']:,} judgements of the documents were removed.")
    for target in told["waiting"]:
        tell(f"{target} was fed the documents too: name it here, or feed it again, to remove them.")
    tell(
        "Backups, exports, feed files and reports are not changed: remove the patient from them "
        "yourself."
    )
