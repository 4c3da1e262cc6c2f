"""Optional dependencies (extras), and the error for a missing one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from encoders.base.errors import UserError

__all__ = ["EXTRAS", "MissingExtraError", "need"]

EXTRAS: Mapping[str, str] = {
    "pyarrow": "corpus",
    "requests": "corpus",
    "pydicom": "dicom",
    "rapidocr": "ocr",
    "torch": "train",
    "transformers": "train",
    "sentence_transformers": "train",
    "safetensors": "train",
    "onnx": "train",
    "onnxscript": "train",
    "matplotlib": "train",
    "scipy": "eval",
    "pandas": "eval",
    "sklearn": "eval",
    "rank_bm25": "eval",
    "jinja2": "eval",
    "vespa": "vespa",
    "pycurl": "vespa",
    "certifi": "vespa",
    "accelerate": "gpus",
    "sacrebleu": "captions",
    "rouge_score": "captions",
    "pycocoevalcap": "captions",
}
"""Module -> the extra of pyproject.toml that installs it."""


class MissingExtraError(UserError):
    """A package is not installed that this work needs."""

    def __init__(self, what: str, module: str, extra: str = "") -> None:
        """Say what needs which module, and the command that installs `extra`, or EXTRAS' own."""
        super().__init__(
            f"{what} needs {module}, which is not installed: run "
            f"`pip install '.[{extra or EXTRAS[module]}]'` in the folder of rocosearch's source."
        )


def need(module: str, what: str, extra: str = "") -> None:
    """Check that one of EXTRAS is installed, without loading it.

    what: the work that needs it, as the beginning of a sentence. extra: to name in place of the
    module's own. Raises MissingExtraError.
    """
    if find_spec(module) is None:
        raise MissingExtraError(what, module, extra)
