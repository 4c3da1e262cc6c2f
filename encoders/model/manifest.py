"""encoder.json: the manifest with everything that determines a vector.

`encoder.json` is where the schema's tensor type, the feed's vectors and the query's vectors
come from. Its fingerprint is stored with every vector, so that vectors of two encoders are
never compared.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoders.base.errors import UserError, plain_reason, readable
from encoders.base.storage import put_back, sha256_bytes, sha256_file, sha256_json, write_whole

if TYPE_CHECKING:  # reading a fingerprint must not import Pillow
    from encoders.images.preprocess import Preprocessing

__all__ = [
    "CAPTION_ENCODER",
    "CURVES",
    "FILE_NAME",
    "TEXT_GRAPH",
    "TOKENIZER",
    "TRAINING",
    "Manifest",
    "ManifestError",
    "check_file",
    "read_curves",
]

FILE_NAME, TOKENIZER, TEXT_GRAPH = "encoder.json", "tokenizer.json", "text.onnx"
CAPTION_ENCODER = "captions"
"""The folder of the encoder of captions inside that of the images' encoder, in an index."""
# Beside it, where it was trained here: the curves, and how.
CURVES, TRAINING = "training.csv", "training.json"
FORMAT = 3
MOST = 1 << 16  # of any length
READABLE = (1, 2, FORMAT)
"""Format 2 adds `graphs`: what format 1 says is read, and its graphs are made when needed. Format 3
adds the checksum, since the fingerprint leaves out what decides no vector."""


class ManifestError(UserError):
    """The manifest is missing or damaged, or a file is not the one that it names."""


@dataclass(frozen=True)
class Manifest:
    """What decides an encoder's vectors, and what their cosines are worth.

    dimension: length of the vectors. normalized: whether they have length 1.
    max_tokens: texts are cut to this many tokens, the special ones included.
    image_size: side of the square input in pixels, 0 where there is no image tower.
    image_mode: "L" or "RGB".
    image_resize: how an image becomes square ("pad" or "crop"). image_mean, image_std: one
    number per channel, on intensities scaled to 0..1.
    weights_sha256, tokenizer_sha256: of the files as saved.
    architecture: the towers' configuration as canonical JSON.
    logit_scale: what the encoder learned to multiply cosines by (CLIP, figure 3), 0 if unknown;
    probabilities and zero-shot labels follow from it. It is one of the weights, whose hash is in
    the fingerprint, so two encoders that differ in it differ there too; in the fingerprint itself
    it would give encoders of before a new name, and their vectors would be computed again.
    graphs: the towers as ONNX files of the same folder, name -> sha256; they give the vectors of
    the weights, so they are not part of it either. Empty until they are exported.
    """

    dimension: int
    normalized: bool
    max_tokens: int
    image_size: int
    image_mode: str
    image_resize: str
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    weights_sha256: str
    tokenizer_sha256: str
    architecture: str
    format: int = FORMAT
    logit_scale: float = 0.0
    graphs: Mapping[str, str] = field(default_factory=dict, hash=False)

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """How images become the image tower's input."""
        from encoders.images.preprocess import Preprocessing  # noqa: PLC0415

        if not self.image_size:
            raise ManifestError(
                f"The encoder {self.fingerprint[:8]} embeds texts alone: it can be the "
                "`--caption-encoder`, not the encoder of images."
            )
        stored: dict[str, Any] = json.loads(self.architecture)["preprocessing"]
        lists = {name: tuple(each) for name, each in stored.items() if isinstance(each, list)}
        return Preprocessing(**{**stored, **lists})

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over every field that decides a vector, in canonical JSON."""
        return sha256_bytes(_canonical(self).encode())

    @property
    def files(self) -> dict[str, str]:
        """What a search reads of the encoder's folder beside encoder.json: name -> sha256."""
        return {TOKENIZER: self.tokenizer_sha256, **self.graphs}

    def save(self, folder: Path) -> None:
        """Write `encoder.json` into `folder`, with the fingerprint for readers and a checksum."""
        content = {**asdict(self), "fingerprint": self.fingerprint}
        content["checksum"] = sha256_json(content)
        write_whole(folder / FILE_NAME, json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Read `encoder.json` of `folder`.

        Raises ManifestError if it is missing, unreadable, or its checksum or fingerprint does
        not follow from its content.
        """
        folder = Path(folder)
        put_back(folder)
        path = folder / FILE_NAME
        try:
            with readable(path, ManifestError):
                content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ManifestError(
                f"{folder} is not an encoder: it has no {FILE_NAME}. "
                "Name a folder written by `rocosearch train`."
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise ManifestError(f"{path} cannot be read ({plain_reason(error)}).") from None
        return _from_json(content, path)


def check_file(path: Path, sha256: str) -> None:
    """Raise ManifestError if a file of an encoder is missing, or not what its manifest names.

    sha256: "" where an earlier version kept none.
    """
    if not path.is_file():
        raise ManifestError(f"{path.parent} is not a complete encoder: {path.name} is missing.")
    with readable(path, ManifestError):
        found = sha256 and sha256_file(path)
    if found != sha256:
        raise ManifestError(
            f"{path} does not match its hash: it was changed or truncated. Copy the encoder again "
            "from its source."
        )


def read_curves(folder: Path) -> str:
    """training.csv of an encoder, "" if it has none.

    Raises ManifestError if it is not a table of numbers: only pictures and reports need it.
    """
    path = folder / CURVES
    try:
        with readable(path, ManifestError):
            text = path.read_text("utf-8")
        names, *rows = csv.reader(text.splitlines())
        numbers = [len(row) == len(names) and [float(x) for x in row if x] for row in rows]
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, csv.Error):
        numbers = [False]
    if not all(numbers) or not {"epoch", "step"} <= {*names}:
        raise ManifestError(
            f"{path} is damaged: it has no curves of a training run. Copy it again from where the "
            "encoder came from, or delete it."
        )
    return text


def _canonical(manifest: Manifest) -> str:
    fields = asdict(manifest)
    del fields["logit_scale"], fields["graphs"]
    fields["format"] = 1  # of what is hashed; an encoder keeps its name in every later format
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def _impossible(manifest: Manifest) -> str:
    """A value that no encoder can have; "" if all are possible."""
    for name in ("dimension", "max_tokens", "image_size"):
        value, least = getattr(manifest, name), int(bool(manifest.image_mode))
        if type(value) is not int or not (least if name == "image_size" else 1) <= value <= MOST:
            return f"{name} {value!r}, which is not a whole number from 1 to {MOST:,}"
    numbers = (*manifest.image_mean, *manifest.image_std, manifest.logit_scale)
    if not all(isinstance(value, int | float) and isfinite(value) for value in numbers):
        return "numbers that are not finite"
    if not all(manifest.image_std) or len(manifest.image_std) != len(manifest.image_mean):
        return "a deviation of 0, or another number of means than of deviations"
    return ""


def _from_json(content: object, path: Path) -> Manifest:
    if not isinstance(content, dict):
        raise ManifestError(f"{path} is damaged: not a JSON object. Train or export it again.")
    if content.get("format") not in READABLE:
        raise ManifestError(
            f"{path} has format {content.get('format')!r}, and this version reads 1 to {FORMAT}: "
            "update rocosearch, or train the encoder again with `rocosearch train`."
        )
    checksum = content.pop("checksum", None)
    if (checksum or content["format"] == FORMAT) and checksum != sha256_json(content):
        raise ManifestError(
            f"{path} is damaged or was changed by hand: its checksum does not match its content. "
            "Copy the encoder again from its source."
        )
    stored = content.pop("fingerprint", None)
    content["format"] = FORMAT
    try:
        for name in ("image_mean", "image_std"):
            content[name] = tuple(float(x) for x in content[name])
        manifest = Manifest(**content)
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(
            f"{path} is damaged ({plain_reason(error)}). Train or export it again."
        ) from None
    told = _impossible(manifest)
    if told:
        raise ManifestError(f"{path} says {told}. Train or export it again.")
    if manifest.fingerprint != stored:
        raise ManifestError(
            f"{path} was changed by hand: its fingerprint does not match its content. Copy the "
            "encoder again from its source."
        )
    return manifest
