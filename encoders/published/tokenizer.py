"""The tokenizer of a published model, with truncation and without padding."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from encoders.model.architecture import EncoderError
from encoders.model.tokenizer import FILE_NAME, load_tokenizer
from encoders.published.files import read_json

__all__ = ["pad_id", "published_tokenizer"]


def published_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """tokenizer.json of the folder, or what transformers makes of its older files.

    Raises EncoderError if there is neither.
    """
    if (folder / FILE_NAME).is_file():
        return load_tokenizer(folder, max_tokens=max_tokens)
    from transformers import AutoTokenizer  # noqa: PLC0415  (takes seconds)

    try:
        found = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        tokenizer = Tokenizer.from_str(found.backend_tokenizer.to_str())
    except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EncoderError(f"{folder} has no tokenizer that can be read: {told}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, strategy="longest_first")
    return tokenizer


def pad_id(folder: Path, words: Tokenizer, otherwise: int) -> int:
    """The token that texts are padded with, where padding is seen by the model."""
    path = folder / "tokenizer_config.json"
    named = read_json(path).get("pad_token") if path.is_file() else None
    named = named.get("content") if isinstance(named, dict) else named
    found = words.token_to_id(named) if named else None
    return otherwise if found is None else found
