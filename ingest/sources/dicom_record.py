"""Convert a DICOM file to records, one per selected frame.

Whatever is not named here never enters a corpus: no patient, no physician, no date, no
institution. UIDs and the patient's id enter as pseudonyms (ingest/sources/pseudonyms.py).
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from encoders.images.dicom import (
    DecoderMissingError,
    NoPixelsError,
    described,
    frame_count,
    read_header,
    render_frame,
)
from encoders.images.dicom_preamble import PREAMBLE_BYTES, is_dicom
from encoders.images.preprocess import ImageError
from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import Reason, Record, Rejection, Row
from ingest.sources.burned_in import TextFinder, masked
from ingest.sources.dicom_captions import Captions
from ingest.sources.files import Found
from ingest.sources.modalities import modality_of_dicom
from ingest.sources.pseudonyms import Pseudonyms, Stored

__all__ = ["DicomOptions", "DicomReader", "chosen_frames"]

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
PATIENT = "PatientID"  # becomes a pseudonym
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
READ = (*UIDS, PATIENT, COMMENT, *LATERALITY, *EXTRA)
SIDES = {"L": "left", "R": "right", "B": "both sides"}
HASH_DIGITS = 16
NOTED_TOGETHER = 512


@dataclass(frozen=True)
class DicomOptions:
    """frames: "middle", "all", or a number of them, evenly spaced. names: the key of pseudonyms.

    text: "find" text in the pixels, "mask" it too, or "".
    """

    frames: str | int = "middle"
    names: Pseudonyms = field(default_factory=Pseudonyms)
    text: str = ""


@dataclass
class DicomReader:
    """Files become records, one after another. root: what files are named below.

    places: where a file lies, by its name, where that is not below the root.
    """

    root: Path
    captions: Captions
    options: DicomOptions
    places: dict[str, str] = field(default_factory=dict)
    _finder: TextFinder | None = None
    _pixels: dict[str, bytes] = field(default_factory=dict)  # hash of an instance's pixels, by id
    _stored: list[Stored] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._finder = TextFinder() if self.options.text else None

    def rows_of(self, file: Found) -> Iterator[Row]:
        """The file's records, with what must be said of them, or why there is none."""
        try:
            with file.open() as stream:
                yield from self._image_rows(file.name, stream)
        except ImageRejectedError as error:
            yield self._rejected(file.name, error.reason, error.detail)
        except ImageError as error:
            yield self._rejected(file.name, _reason(error), str(error))
        except OSError as error:
            detail = f"cannot be read ({error.strerror})"
            yield self._rejected(file.name, Reason.UNUSABLE_IMAGE, detail)

    def finish(self) -> None:
        """Keep beside the key what was not kept yet of where records are from."""
        self.options.names.note(self._stored)
        self._stored.clear()

    def _rejected(self, name: str, reason: Reason, detail: str) -> Rejection:
        self.captions.of(name, {})  # its caption is not to be told of as one without a file
        return Rejection(reason, name, detail=detail)

    def _image_rows(self, name: str, stream: BinaryIO) -> Iterator[Row]:
        if not is_dicom(stream.read(PREAMBLE_BYTES)):
            raise ImageRejectedError(Reason.NOT_DICOM, "it does not start like a DICOM file")
        header, pixels = read_header(stream, READ)
        tags = described(header, READ)
        names, total = self.options.names, frame_count(header)
        caption = _caption(*self.captions.of(name, tags), tags)
        subject = names.of("patient", tags.get("PatientID", ""))
        base = names.of("dicom", tags.get("SOPInstanceUID", "")) or f"dicom-{_file_hash(stream)}"
        study = names.of("study", tags.get("StudyInstanceUID", ""))
        extra = _extra(tags)
        series = names.of("series", tags.get("SeriesInstanceUID", ""))
        if series:
            extra["series"] = series
        stored = []
        chosen = chosen_frames(self.options.frames, total)
        for frame in chosen:
            notes: list[str] = []
            image = render_frame(pixels, header, frame, notes)
            boxes = self._finder.boxes(image) if self._finder else []
            if self.options.text == "mask":
                image = masked(image, boxes)
            identifier, same = self._identifier(base, frame, total, image)
            record = Record(
                id=identifier,
                caption=caption[0],
                image=_png(image),
                image_path=f"{identifier}.png",
                group_id=study or (base if len(chosen) > 1 else ""),
                group_kind="case" if study or len(chosen) > 1 else "none",
                subject_id=subject,
                modality=modality_of_dicom(tags.get("Modality", "")),
                source="DICOM",
                extra={
                    **extra,
                    **({"frame": frame + 1, "frames": total} if total > 1 else {}),
                    "caption_from": caption[1],
                    **({"text_boxes": [list(box) for box in boxes]} if boxes else {}),
                },
                file=name,
                caption_needed=False,
                stock_caption=caption[1] == "tags",
            )
            notes = list(dict.fromkeys(notes))
            yield from _notes(record, image, notes, left_out=total - len(chosen), same=same)
            yield record
            file = self.places.get(name) or str((self.root / name).absolute())
            place = frame + 1 if total > 1 else 0
            uids = [tags.get(keyword, "") for keyword in UIDS]
            stored.append(Stored(identifier, file, place, subject, *uids))
        self._stored += stored
        if len(self._stored) >= NOTED_TOGETHER:
            self.finish()

    def _identifier(
        self, base: str, frame: int, total: int, image: Image.Image
    ) -> tuple[str, bool]:
        """The record's id; another one, and True, where the instance had other pixels before."""
        number = f"#{frame + 1}" if total > 1 else ""
        found = hashlib.sha256(image.tobytes()).digest()
        if self._pixels.setdefault(base + number, found) == found:
            return base + number, False
        return f"{base}-{found.hex()[:8]}{number}", True


def chosen_frames(wanted: str | int, total: int) -> list[int]:
    """Which frames are kept, from 0: the middle one, all, or a number of evenly spaced ones.

    >>> chosen_frames("middle", 4), chosen_frames(2, 8), chosen_frames(9, 3)
    ([2], [2, 6], [0, 1, 2])
    """
    if wanted == "middle":
        return [total // 2]
    count = total if wanted == "all" else min(int(wanted), total)
    return [(2 * part + 1) * total // (2 * count) for part in range(count)]


def _file_hash(stream: BinaryIO) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()[:HASH_DIGITS]  # type: ignore[arg-type]


def _reason(error: ImageError) -> Reason:
    if isinstance(error, NoPixelsError):
        return Reason.NO_PIXELS
    return Reason.NO_DECODER if isinstance(error, DecoderMissingError) else Reason.UNUSABLE_IMAGE


def _notes(
    record: Record, image: Image.Image, unused: Sequence[str], *, left_out: int, same: bool
) -> Iterator[Rejection]:
    """Notes for users of the record; the corpus counts them."""
    said: list[tuple[Reason, str]] = [(Reason.UNUSED_TAG, detail) for detail in unused]
    if left_out:
        total, frame = record.extra["frames"], record.extra["frame"]
        said.append((Reason.OTHER_FRAMES, f"frame {frame} of {total} was used"))
    if record.extra.get("burned_in_annotation") == "YES":
        detail = "BurnedInAnnotation is YES: the image may show the patient's name"
        said.append((Reason.BURNED_IN, detail))
    if "text_boxes" in record.extra:
        detail = f"{len(record.extra['text_boxes'])} boxes of text were found in the pixels"
        said.append((Reason.TEXT_SEEN, detail))
    if same:
        said.append(
            (Reason.SAME_UID, "an earlier file has this SOPInstanceUID and different pixels")
        )
    if all(low == high for low, high in (band.getextrema() for band in image.split())):
        said.append((Reason.ONE_GREY, "all pixels are alike"))
    for reason, detail in said:
        yield Rejection(reason, record.file, 0, record.id, detail, True)


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


def _extra(tags: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: tags[keyword] for keyword, name in EXTRA.items() if keyword in tags
    }
    if _side(tags):
        found["laterality"] = _side(tags)
    return found
