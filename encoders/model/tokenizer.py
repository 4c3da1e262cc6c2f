"""Byte-level BPE tokenizer, lower-cased, trained on the captions.

Byte-level: no character is unknown, whatever script a caption is in. The file holds no padding,
and truncation "longest_first", because Vespa's embedder reads both from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from encoders.base.errors import UserError
from encoders.model.manifest import TOKENIZER as FILE_NAME, check_file

__all__ = [
    "END_ID",
    "FILE_NAME",
    "PAD_ID",
    "START_ID",
    "TokenizerError",
    "batch_ids",
    "load_tokenizer",
    "train_tokenizer",
]

PAD, START, END = "<pad>", "<s>", "</s>"
PAD_ID, START_ID, END_ID = 0, 1, 2


class TokenizerError(UserError):
    """The tokenizer's file is damaged."""


def train_tokenizer(
    texts: Iterable[str], *, vocabulary: int = 4096, max_tokens: int = 64
) -> Tokenizer:
    """Learn byte-pair merges (Sennrich et al. 2016) from `texts`.

    `vocabulary` is an upper limit, special tokens and the 256 bytes included; texts are cut to
    `max_tokens`, special tokens included. Ids: 0 padding, 1 start, 2 end.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        show_progress=False,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(map(_encodable, texts), trainer)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(START, tokenizer.token_to_id(START)), (END, tokenizer.token_to_id(END))],
    )
    tokenizer.enable_truncation(max_tokens, strategy="longest_first")
    return tokenizer


def load_tokenizer(folder: Path, sha256: str = "", *, max_tokens: int | None = None) -> Tokenizer:
    """Read `tokenizer.json` of `folder`, without padding; `max_tokens` replaces its truncation.

    sha256: of the file, where a manifest names it. Raises ManifestError if the file is missing or
    another, TokenizerError if it is damaged.
    """
    path = folder / FILE_NAME
    check_file(path, sha256)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  (the binding raises bare Exception)
        raise TokenizerError(f"{path} is damaged: {error}.") from None
    tokenizer.no_padding()
    if max_tokens is not None:
        tokenizer.enable_truncation(max_tokens, strategy="longest_first")
    return tokenizer


def batch_ids(
    tokenizer: Tokenizer, texts: Sequence[str], pad_id: int = PAD_ID
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask of `texts`, int64 [B, T] each, T the longest of the batch."""
    rows = [e.ids for e in tokenizer.encode_batch_fast([_encodable(t) for t in texts])]
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max(initial=1)) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return ids, mask.astype(np.int64)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 text can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
