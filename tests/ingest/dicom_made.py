"""DICOM files made by pydicom, small and of every kind that the reader tells apart."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

SIDE = 32
RAMP = np.arange(SIDE * SIDE, dtype=np.int16).reshape(SIDE, SIDE)
PATIENT = {
    "PatientName": "DOE^JANE",
    "PatientID": "ID-4711",
    "PatientBirthDate": "19500102",
    "StudyDate": "20240506",
    "InstitutionName": "SAINT ELSEWHERE",
    "ReferringPhysicianName": "HOUSE^GREGORY",
    "AccessionNumber": "ACC-0815",
}


def uid(*parts: object) -> str:
    """A UID that is the same for the same parts."""
    return str(generate_uid(entropy_srcs=["test", *map(str, parts)]))


def dataset(pixels: np.ndarray, *, syntax: str = ExplicitVRLittleEndian, **tags: object) -> Dataset:
    """A CT by default; `pixels` [H, W], [H, W, 3] or, with NumberOfFrames, [N, H, W]."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = CTImageStorage
    made.SOPClassUID = CTImageStorage
    made.SOPInstanceUID = uid(pixels.tobytes(), tags)
    made.Modality = "CT"
    colour = pixels.ndim == 3 and "NumberOfFrames" not in tags
    made.Rows, made.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    made.SamplesPerPixel = 3 if colour else 1
    if colour:
        made.PlanarConfiguration = 0
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.itemsize
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def written(made: Dataset) -> bytes:
    """The file's bytes."""
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def dicom_bytes(pixels: np.ndarray = RAMP, **tags: object) -> bytes:
    """The file of `dataset`."""
    return written(dataset(pixels, **tags))


def compressed(picture: Image.Image, kind: str, syntax: str, **tags: object) -> bytes:
    """A file whose one frame is `picture`, compressed by Pillow."""
    frame = io.BytesIO()
    picture.save(frame, kind, **({"quality": 90} if kind == "JPEG" else {"irreversible": False}))
    pixels = np.asarray(picture)
    made = dataset(pixels, syntax=syntax, **tags)
    made.PixelData = encapsulate([frame.getvalue()])
    made["PixelData"].VR = "OB"
    return written(made)


def run_length_encoded(pixels: np.ndarray, **tags: object) -> bytes:
    """A file compressed as RLE Lossless."""
    made = dataset(pixels, **tags)
    made.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return written(made)
