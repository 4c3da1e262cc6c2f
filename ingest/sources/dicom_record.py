"""One DICOM file becomes one record: its middle frame as a PNG, and what a list of tags allows.

Whatever is not named here never enters a corpus: no patient, no physician, no date, no
institution. UIDs enter hashed, which hides them from who does not have them already.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from PIL import Image

from encoders.base.storage import sha256_bytes
from encoders.images.dicom import (
    DecoderMissingError,
    NoPixelsError,
    described,
    frame_count,
    middle_frame,
    read_header,
    render_frame,
)
from encoders.images.dicom_preamble import PREAMBLE_BYTES, is_dicom
from encoders.images.preprocess import ImageError
from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import Reason, Record, Rejection, Row
from ingest.sources.dicom_captions import Captions
from ingest.sources.files import Found
from ingest.sources.modalities import modality_of_dicom

__all__ = ["rows_of"]

UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
COMMENT = "ImageComments"
LATERALITY = ("ImageLaterality", "Laterality")
# The only elements that a corpus's `extra` may hold, and their names there.
EXTRA = {
    "Modality": "dicom_modality",
    "StudyDescription": "study_description",
    "SeriesDescription": "series_description",
    "BodyPartExamined": "body_part",
    "ViewPosition": "view",
    "InstanceNumber": "instance_number",
    "PhotometricInterpretation": "photometric_interpretation",
    "BurnedInAnnotation": "burned_in_annotation",
}
CAPTION_TAGS = ("StudyDescription", "SeriesDescription", "BodyPartExamined", "ViewPosition")
READ = (*UIDS, COMMENT, *LATERALITY, *EXTRA)
SIDES = {"L": "left", "R": "right", "B": "both sides"}
HASH_DIGITS = 16


def rows_of(file: Found, captions: Captions) -> list[Row]:
    """The file's record, with what must be said of it, or why it is none."""
    try:
        with file.open() as stream:
            return _image_rows(file.name, stream, captions)
    except ImageRejectedError as error:
        reason, detail = error.reason, error.detail
    except ImageError as error:
        reason, detail = _reason(error), str(error)
    except OSError as error:
        reason, detail = Reason.UNUSABLE_IMAGE, f"cannot be read ({error.strerror})"
    captions.of(file.name, {})  # its caption is not to be told of as one without a file
    return [Rejection(reason, file.name, detail=detail)]


def _reason(error: ImageError) -> Reason:
    if isinstance(error, NoPixelsError):
        return Reason.NO_PIXELS
    return Reason.NO_DECODER if isinstance(error, DecoderMissingError) else Reason.UNUSABLE_IMAGE


def _image_rows(name: str, stream: BinaryIO, captions: Captions) -> list[Row]:
    if not is_dicom(stream.read(PREAMBLE_BYTES)):
        raise ImageRejectedError(Reason.NOT_DICOM, "it does not begin with DICOM's preamble")
    header, pixels = read_header(stream, READ)
    tags = described(header, READ)
    own_caption, own_from = captions.of(name, tags)
    frames, frame = frame_count(header), middle_frame(header)
    image = _png(render_frame(pixels, header, frame))
    identifier = _identifier(tags, stream) + (f"-frame-{frame + 1}" if frames > 1 else "")
    caption, caption_from = _caption(own_caption, own_from, tags)
    extra: dict[str, Any] = {
        **_extra(tags),
        **({"frame": frame + 1, "frames": frames} if frames > 1 else {}),
        "caption_from": caption_from,
    }
    study = tags.get("StudyInstanceUID")
    record = Record(
        id=identifier,
        caption=caption,
        image=image,
        image_path=f"{identifier}.png",
        group_id=f"study-{_hashed(study)}" if study else "",
        group_kind="case" if study else "none",
        modality=modality_of_dicom(tags.get("Modality", "")),
        source="DICOM",
        extra=extra,
        file=name,
        caption_needed=False,
        stock_caption=caption_from == "tags",
    )
    return [*_notes(record, frames, frame), record]


def _notes(record: Record, frames: int, frame: int) -> list[Row]:
    """What whoever uses the record should know of it; the corpus counts them."""
    notes: list[Row] = []
    if frames > 1:
        detail = f"frame {frame + 1} of {frames} was taken"
        notes.append(Rejection(Reason.OTHER_FRAMES, record.file, 0, record.id, detail, True))
    if record.extra.get("burned_in_annotation") == "YES":
        detail = "BurnedInAnnotation is YES: the image may show the patient's name"
        notes.append(Rejection(Reason.BURNED_IN, record.file, 0, record.id, detail, True))
    return notes


def _identifier(tags: Mapping[str, str], stream: BinaryIO) -> str:
    """From the SOPInstanceUID, or from the file's bytes where it has none."""
    uid = tags.get("SOPInstanceUID")
    if uid:
        return f"dicom-{_hashed(uid)}"
    stream.seek(0)
    return f"dicom-{sha256_bytes(stream.read())[:HASH_DIGITS]}"


def _hashed(uid: str) -> str:
    return sha256_bytes(uid.encode("utf-8", "replace"))[:HASH_DIGITS]


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    # Looking for runs only takes a tenth of the time on a large radiograph, and no more space.
    image.save(out, "PNG", compress_type=zlib.Z_RLE)
    return out.getvalue()


def _caption(own: str, own_from: str, tags: Mapping[str, str]) -> tuple[str, str]:
    """The caption and where it is from: table, report, ImageComments, tags or none."""
    if own:
        return own, own_from
    comment = tags.get(COMMENT, "")
    if any(map(str.isalnum, comment)):  # some scanners fill it with separators
        return comment, COMMENT
    words = [tags.get(keyword, "").replace("^", " ") for keyword in CAPTION_TAGS] + [_side(tags)]
    caption = ", ".join(dict.fromkeys(word.strip() for word in words if word.strip()))
    return caption, "tags" if caption else "none"


def _side(tags: Mapping[str, str]) -> str:
    code = next((tags[keyword] for keyword in LATERALITY if keyword in tags), "")
    return SIDES.get(code, "")


def _extra(tags: Mapping[str, str]) -> dict[str, str]:
    found = {name: tags[keyword] for keyword, name in EXTRA.items() if keyword in tags}
    if _side(tags):
        found["laterality"] = _side(tags)
    if "SeriesInstanceUID" in tags:
        found["series"] = f"series-{_hashed(tags['SeriesInstanceUID'])}"
    return found
