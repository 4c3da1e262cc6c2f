"""Train a caption decoder on a corpus, and let it describe images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoders.analysis.caption_scores import caption_scores
from encoders.base.extras import MissingExtraError
from encoders.base.progress import Progress, silent
from ingest.corpus.corpus import Corpus
from rocosearch.embedded_images import read_features
from rocosearch.open_index import encoder_folder
from rocosearch.outputs import OutputError, check_file

if TYPE_CHECKING:
    from encoders.model.decoder import Decoder

__all__ = ["BEAMS", "GREEDY", "describe", "train_caption_decoder"]

BEAMS = 4  # for the scores; in a field for search greedy captions do better (docs/experiments.md)
GREEDY = 1
CHUNK = 64  # images described at a time


def train_caption_decoder(
    corpus: Path,
    encoder: Path,
    out: Path,
    *,
    resume: bool = False,
    replace_decoder: bool = False,
    progress: Progress = silent,
    **changes: Any,  # noqa: ANN401
) -> Decoder:
    """Train a decoder on the captions of the training split, and write it to `out`.

    It reads the cells of the encoder's image tower, which stays as it is; they are cached in
    CORPUS/features. changes: fields of encoders.training.captioning.CaptioningConfig. Figures: the
    validation loss, and with the extra `captions` BLEU, ROUGE-L and CIDEr of what it says of the
    validation images. Raises TrainingError, OutputError, ResumeError.
    """
    # torch takes seconds to load
    from encoders.model.clip import Encoder  # noqa: PLC0415
    from encoders.training.captioning import (  # noqa: PLC0415
        CaptioningConfig,
        Described,
        train_decoder,
    )

    check_file(out)
    if out.exists() and not replace_decoder:
        raise OutputError(f"{out} exists: name another file, or overwrite it with --replace.")
    opened = Corpus.open(corpus)
    loaded = Encoder.load(encoder_folder(encoder, progress))
    captions: dict[str, dict[str, str]] = {"train": {}, "validation": {}}
    for record in opened.records():
        if record.split in captions and record.image is not None and record.caption:
            captions[record.split][record.id] = record.caption
    ids = [identifier for own in captions.values() for identifier in own]
    cells = read_features(opened, loaded.module, ids, progress, cells=True)
    pairs, held_out = (Described(list(own), list(own.values()), cells) for own in captions.values())
    config = replace(CaptioningConfig(), **changes)
    fingerprint = loaded.manifest.fingerprint
    decoder = train_decoder(
        pairs, held_out, out, fingerprint, config, resume=resume, progress=progress
    )
    if len(held_out):
        said = [texts[0] for texts in describe(decoder, held_out.ids, cells, BEAMS, progress)]
        try:
            scores = asdict(caption_scores(said, held_out.captions))
            decoder.figures = {**decoder.figures, **scores}
            decoder.save(out)
        except MissingExtraError as error:
            progress("captions not scored", 1, 1, str(error))
    return decoder


def describe(
    decoder: Decoder,
    ids: Sequence[str],
    cells: Callable[[Sequence[str]], Any],
    beams: int,
    progress: Progress = silent,
) -> Iterator[list[str]]:
    """What the decoder says of each image, the likeliest of the beams first."""
    import torch  # noqa: PLC0415

    for start in range(0, len(ids), CHUNK):
        own = ids[start : start + CHUNK]
        yield from decoder.captions(torch.from_numpy(cells(own)), beams)
        progress("describing images", start + len(own), len(ids))
