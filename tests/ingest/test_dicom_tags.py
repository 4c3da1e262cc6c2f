"""DICOM as archives really have it: tags that cannot be used, odd pixels, large files."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.uid import JPEGBaseline8Bit

from encoders.images.dicom import NoPixelsError, read_header, render_frame
from encoders.images.preprocess import ImageError, decode_image

from .dicom_made import RAMP, SIDE, compressed, dataset, dicom_bytes, written


def shown(pixels: np.ndarray = RAMP, **tags: object) -> tuple[np.ndarray, list[str]]:
    """Greys of a file, and what was said of its tags; raw: elements as bytes of their VR."""
    notes: list[str] = []
    raw = {k: v for k, v in tags.items() if isinstance(v, tuple)}
    made = dataset(pixels, **{k: v for k, v in tags.items() if k not in raw})
    data = _with_raw(made, raw)
    header, stream = read_header(io.BytesIO(data))
    return np.asarray(render_frame(stream, header, 0, notes)), notes


def _with_raw(made: Dataset, raw: dict[str, tuple[str, bytes]]) -> bytes:
    """The file with elements that pydicom would refuse to write: keyword -> (VR, bytes)."""
    data = written(made)
    at = data.index(b"\xe0\x7f\x10\x00")  # the pixels come last
    added = b""
    for keyword, (vr, value) in raw.items():
        tag = tag_for_keyword(keyword)
        added += struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value
    return data[:at] + added + data[at:]


PLAIN = np.asarray(decode_image(dicom_bytes(RAMP)))
WINDOWED = {"WindowCenter": 512, "WindowWidth": 800}


def lut(entries: int, bits: int = 16, said: int = 0, values: np.ndarray | None = None) -> Dataset:
    """A table of so many entries whose descriptor says `said` of them."""
    made = Dataset()
    made.LUTDescriptor = [said or entries, 0, bits]
    found = np.arange(entries, dtype=np.uint16) if values is None else values
    made.add_new(tag_for_keyword("LUTData"), "OW", found.tobytes())
    return made


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": ("DS", b""), "RescaleIntercept": ("DS", b"")},
        {"RescaleSlope": ("DS", b"1,0 "), "RescaleIntercept": ("DS", b"-1024,0 ")},
        {"RescaleSlope": 0, "RescaleIntercept": 5},
        {"WindowCenter": ("DS", b"BONE"), "WindowWidth": ("DS", b"WIDE")},
        {"WindowCenter": ("DS", b""), "WindowWidth": ("DS", b"")},
        {"WindowCenter": -9e6, "WindowWidth": 2},  # all white
        {"VOILUTSequence": [lut(entries=0)]},
        {"VOILUTSequence": [lut(entries=4, said=256)]},
        {"VOILUTSequence": [lut(entries=256, bits=0)]},
        {"ModalityLUTSequence": [lut(entries=3, said=256)]},
        {"PixelPaddingValue": ("US", b"")},
    ],
    ids=str,
)
def test_an_optional_tag_that_cannot_be_used_is_passed_over_and_named(tags):
    greys, notes = shown(**tags)
    assert np.array_equal(greys, PLAIN)
    assert notes
    assert not any(word in " ".join(notes) for word in ("Error", "None", "float", "convert"))


def test_without_rescale_the_window_still_counts():
    expected, _ = shown(**WINDOWED)
    greys, notes = shown(RescaleSlope=("DS", b""), RescaleIntercept=("DS", b""), **WINDOWED)
    assert np.array_equal(greys, expected)
    assert notes == ["RescaleSlope is empty", "RescaleIntercept is empty"]


@pytest.mark.parametrize(("bits", "white"), [(12, 4095), (16, 4095), (10, 1023), (16, 65535)])
def test_a_voi_table_is_scaled_by_what_its_bits_can_be(bits, white):
    table = lut(entries=1024, bits=bits, values=np.linspace(0, white, 1024).astype(np.uint16))
    greys, notes = shown(VOILUTSequence=[table])
    assert notes == []
    assert (greys[0, 0], greys[-1, -1]) == (0, 255)
    assert abs(int(greys[16, 0]) - 255 * 512 / 1023) <= 1


@pytest.mark.parametrize("full", [True, False])
def test_native_ybr_full_422_is_read_as_what_it_is(full):
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[..., 0] = 200
    rgb[:, 4:, 1] = 90
    ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    if full:
        data = ybr.tobytes()
    else:  # two pixels share their colours: Y Y Cb Cr (PS3.3, C.7.6.3.1.2)
        pairs = ybr.reshape(8, 4, 2, 3)
        data = np.concatenate([pairs[..., 0], pairs[..., 0, 1:]], axis=-1).tobytes()
    made = dataset(rgb, PhotometricInterpretation="YBR_FULL_422", PixelData=data)
    greys = np.asarray(decode_image(written(made)))
    assert np.abs(greys.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("signed", [True, False])
def test_values_that_lie_above_their_lowest_bits(signed):
    values = np.linspace(-2000, 2000, 1024).astype(np.int16).reshape(SIDE, SIDE)
    values = values if signed else (values + 2000).astype(np.int16)
    stored = ((values.astype(np.int32) & 0xFFF) << 4).astype(np.uint16)
    tags = {"BitsStored": 12, "HighBit": 15, "PixelRepresentation": int(signed)}
    assert np.array_equal(shown(stored, **tags)[0], shown(values)[0])


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("value", [-2000, 63536])
def test_padding_counts_in_whatever_sign_it_is_written(vr, value):
    pixels = RAMP.copy()
    pixels[:4] = -2000
    packed = struct.pack("<H", value % 65536)
    greys, _ = shown(pixels, PixelPaddingValue=(vr, packed))
    assert (greys[:4] == 0).all()
    expected = np.asarray(decode_image(dicom_bytes(RAMP[4:].copy())))
    assert np.array_equal(greys[4:], expected)


def bare(made, *, implicit: bool) -> bytes:
    """A data set without preamble, file meta or transfer syntax."""
    out = io.BytesIO()
    made.file_meta = FileMetaDataset()
    dcmwrite(out, made, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    return out.getvalue()


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_preamble_or_transfer_syntax_is_read(implicit):
    data = bare(dataset(RAMP), implicit=implicit)
    assert np.array_equal(np.asarray(decode_image(data)), PLAIN)
    notes: list[str] = []
    header, stream = read_header(io.BytesIO(data))
    render_frame(stream, header, 0, notes)
    (said,) = notes
    assert said == (
        f"no transfer syntax is named; {'Implicit' if implicit else 'Explicit'} VR Little "
        "Endian is assumed"
    )


def test_a_missing_transfer_syntax_of_jpeg_is_guessed():
    picture = Image.fromarray(np.asarray(PLAIN))
    data = compressed(picture, "JPEG", JPEGBaseline8Bit)
    without = data.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.50".ljust(22))
    made = dcmread(io.BytesIO(without))
    del made.file_meta.TransferSyntaxUID
    out = io.BytesIO()
    dcmwrite(out, made, implicit_vr=False, little_endian=True, enforce_file_format=False)
    expected = np.asarray(decode_image(data))
    assert np.array_equal(np.asarray(decode_image(out.getvalue())), expected)


def test_one_frame_of_a_large_file_is_read_without_the_rest(tmp_path):
    frames = 40
    made = dataset(RAMP, NumberOfFrames=frames)
    made.PixelData = b""
    head = written(made)[:-4]
    path = tmp_path / "large"
    size = RAMP.nbytes
    with path.open("wb") as stream:
        stream.write(head + struct.pack("<I", frames * size))
        at = stream.tell()
        stream.seek(at + 20 * size)
        stream.write(RAMP.tobytes())
        stream.truncate(at + frames * size)

    class Counted(io.FileIO):
        read_bytes = 0

        def read(self, size=-1, /):
            data = super().read(size)
            Counted.read_bytes += len(data)
            return data

        def readinto(self, buffer, /):
            count = super().readinto(buffer)
            Counted.read_bytes += count
            return count

    with Counted(path) as stream:
        header, pixels = read_header(stream)
        image = render_frame(pixels, header, 20)
    assert np.array_equal(np.asarray(image), PLAIN)
    assert Counted.read_bytes < 4 * size + 20_000


def test_no_image_is_told_apart_from_cut_off():
    made = dataset(RAMP, StudyDescription="x" * 60)
    data = written(made)
    cut = data[: data.index(b"x" * 60) + 10]
    with pytest.raises(ImageError, match="is truncated before its image") as error:
        decode_image(cut)
    assert not isinstance(error.value, NoPixelsError)
    with pytest.raises(ImageError, match=r"pixels are missing|damaged"):
        decode_image(data[: -RAMP.nbytes])
