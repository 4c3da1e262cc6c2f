"""What is seen of a DICOM file, against pydicom's own display pipeline and plain arithmetic."""

from __future__ import annotations

import io
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut, convert_color_space, get_decoder
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from encoders.images.dicom import DecoderMissingError, NoPixelsError
from encoders.images.preprocess import ImageError, decode_image, open_image

from .dicom_made import RAMP, SIDE, compressed, dataset, dicom_bytes, run_length_encoded, written

HOUNSFIELD = {"RescaleSlope": 1, "RescaleIntercept": -512, "BitsStored": 12, "HighBit": 11}
RNG = np.random.default_rng(7)
PHOTO = Image.fromarray(RNG.integers(0, 255, (8, 8, 3), np.uint8)).resize((SIDE, SIDE))


def shown(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(data)).astype(int)


def by_pydicom(data: bytes) -> np.ndarray:
    """pydicom's own modality and VOI transformation, scaled from its output range to 0..255."""
    made = dcmread(io.BytesIO(data))
    values = apply_modality_lut(made.pixel_array, made)
    extremes = np.array([[made.RescaleIntercept - 1e6, made.RescaleIntercept + 1e6]])
    with np.errstate(over="ignore"):
        low, high = apply_voi_lut(extremes, made)[0]
        return (apply_voi_lut(values, made) - low) / (high - low) * 255


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("window", [(40, 400), (0, 80), (-300.5, 1)])
def test_the_window_is_applied_as_the_standard_says(function, window):
    centre, width = window
    data = dicom_bytes(
        RAMP, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function, **HOUNSFIELD
    )
    assert np.abs(shown(data) - by_pydicom(data)).max() <= 1


def test_hounsfield_units_at_the_windows_edges():
    data = dicom_bytes(RAMP, WindowCenter=40, WindowWidth=400, **HOUNSFIELD)
    values = RAMP.astype(int) - 512
    greys = shown(data)
    assert set(greys[values <= -160]) == {0}
    assert set(greys[values >= 239]) == {255}
    assert greys[values == 40] == round(((40 - 39.5) / 399 + 0.5) * 255)


def test_the_first_of_several_windows_counts():
    two = dicom_bytes(RAMP, WindowCenter=[40, 300], WindowWidth=[400, 50], **HOUNSFIELD)
    one = dicom_bytes(RAMP, WindowCenter=40, WindowWidth=400, **HOUNSFIELD)
    assert (shown(two) == shown(one)).all()


@pytest.mark.parametrize(
    "tags", [{}, {"WindowCenter": 10, "WindowWidth": 0}, {"WindowCenter": None, "WindowWidth": 5}]
)
def test_without_a_usable_window_percentiles_are_taken(tags):
    low, high = np.percentile(RAMP, (0.5, 99.5))
    expected = np.clip((RAMP - low) / (high - low) * 255, 0, 255)
    assert np.abs(shown(dicom_bytes(RAMP, **tags)) - expected).max() <= 1


def test_monochrome1_is_inverted():
    usual = shown(dicom_bytes(RAMP, WindowCenter=500, WindowWidth=600))
    turned = dicom_bytes(
        RAMP, WindowCenter=500, WindowWidth=600, PhotometricInterpretation="MONOCHROME1"
    )
    assert (shown(turned) == 255 - usual).all()


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_move_the_percentiles(kind):
    framed = RAMP.copy()
    framed[:, :4] = -2000
    data = dicom_bytes(framed, PixelPaddingValue=-2000, PhotometricInterpretation=kind)
    greys = shown(data)
    assert set(greys[:, :4].flat) == {0}
    inner = shown(dicom_bytes(RAMP[:, 4:].copy(), PhotometricInterpretation=kind))
    assert (greys[:, 4:] == inner).all()


def test_tables_take_the_place_of_rescale_and_window():
    table = Dataset()
    table.LUTDescriptor = [1024, 0, 16]
    table.LUTData = list(range(65535, 65535 - 1024 * 60, -60))
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    greys = shown(dicom_bytes(RAMP, VOILUTSequence=Sequence([table])))
    assert np.abs(greys - (65535 - RAMP.astype(int) * 60) / 65535 * 255).max() <= 1
    table.ModalityLUTType = "US"
    window = {"WindowCenter": 32768, "WindowWidth": 65536}
    assert (
        shown(dicom_bytes(RAMP, ModalityLUTSequence=Sequence([table]), **window)) == greys
    ).all()


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_encoding_of_a_data_set_shows_the_same(syntax):
    tags = {"WindowCenter": 500, "WindowWidth": 600, "PixelPaddingValue": 0}
    expected = shown(dicom_bytes(RAMP, **tags))
    pixels = RAMP.astype(">i2") if syntax == ExplicitVRBigEndian else RAMP
    assert (shown(dicom_bytes(pixels, syntax=syntax, **tags)) == expected).all()


def test_colour():
    pixels = np.asarray(PHOTO)
    assert (shown(dicom_bytes(pixels)) == pixels).all()
    by_plane = dataset(pixels, PlanarConfiguration=1)
    by_plane.PixelData = np.moveaxis(pixels, 2, 0).tobytes()
    assert (shown(written(by_plane)) == pixels).all()
    ybr = convert_color_space(pixels, "RGB", "YBR_FULL")
    assert np.abs(shown(dicom_bytes(ybr, PhotometricInterpretation="YBR_FULL")) - pixels).max() < 4


def test_a_palette():
    pixels = (RAMP % 4).astype(np.uint8)
    colours = RNG.integers(0, 65535, (3, 4), np.uint16)
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, table in zip(("Red", "Green", "Blue"), colours, strict=True):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    assert (shown(dicom_bytes(pixels, **tags)) == (colours >> 8).T[pixels]).all()


def test_the_middle_frame_is_shown_with_its_own_window():
    frames = np.stack([RAMP + 10 * n for n in range(4)])
    groups = []
    for n in range(4):
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = 100 * (n + 1), 50
        group.FrameVOILUTSequence = Sequence([window])
        groups.append(group)
    rescale, shared = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, -7
    shared.PixelValueTransformationSequence = Sequence([rescale])
    data = dicom_bytes(
        frames,
        NumberOfFrames=4,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(groups),
    )
    alone = dicom_bytes(
        frames[2], WindowCenter=300, WindowWidth=50, RescaleSlope=2, RescaleIntercept=-7
    )
    assert (shown(data) == shown(alone)).all()


def test_compressed_pixels():
    tags = {"WindowCenter": 500, "WindowWidth": 600}
    assert (shown(run_length_encoded(RAMP, **tags)) == shown(dicom_bytes(RAMP, **tags))).all()
    jpeg = io.BytesIO()
    PHOTO.save(jpeg, "JPEG", quality=90)
    data = compressed(PHOTO, "JPEG", JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422")
    assert np.abs(shown(data) - np.asarray(Image.open(jpeg)).astype(int)).mean() < 1  # by decoder
    data = compressed(PHOTO, "JPEG2000", JPEG2000Lossless, PhotometricInterpretation="YBR_RCT")
    assert (shown(data) == np.asarray(PHOTO)).all()


def real(name: str) -> bytes:
    """A real scanner's file that comes with pydicom."""
    return Path(get_testdata_file(name, download=False)).read_bytes()


def test_real_files_look_the_same_however_they_are_encoded():
    expected = shown(real("MR_small.dcm"))
    for other in ("implicit", "bigendian", "RLE", "jp2klossless", "padded"):
        assert (shown(real(f"MR_small_{other}.dcm")) == expected).all()
    colours = shown(real("SC_rgb_rle.dcm"))
    for bits in (16, 32):
        assert (shown(real(f"SC_rgb_rle_{bits}bit.dcm")) == colours).all()
    assert np.abs(shown(real("SC_rgb_jpeg_dcmtk.dcm")) - colours).mean() < 1


def test_a_missing_decoder_is_told_with_what_to_install():
    if get_decoder(JPEGLSLossless).is_available:
        pytest.skip("the extra dicom is installed here")
    with pytest.raises(
        DecoderMissingError, match=r"JPEG-LS Lossless.*'rocosearch\[dicom\]' installs"
    ):
        decode_image(real("MR_small_jpeg_ls_lossless.dcm"))


def test_a_video_is_told():
    with pytest.raises(ImageError, match=r"MPEG2 .* are not supported"):
        decode_image(dicom_bytes(RAMP, syntax=MPEG2MPML, PixelData=encapsulate([b"video"])))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, "60,000 x 60,000 pixels; at most"),
        ({"NumberOfFrames": 2_000_000}, "damaged: its pixels"),
        ({"Rows": 0}, "32 x 0 pixels"),
        ({"Rows": 33}, "damaged"),
        ({"PhotometricInterpretation": "HSV"}, "'HSV' is not supported"),
    ],
)
def test_sizes_are_checked_before_pixels(tags, message):
    with pytest.raises(ImageError, match=message):
        decode_image(dicom_bytes(RAMP, **tags))


def test_a_report_holds_no_image():
    made = dataset(RAMP)
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(made, keyword)
    with pytest.raises(NoPixelsError, match="has no image"):
        decode_image(written(made))


def test_a_deflated_bomb_is_not_inflated(monkeypatch):
    monkeypatch.setattr("encoders.images.dicom.MAX_BYTES", 1 << 20)
    head = dicom_bytes(RAMP, syntax=DeflatedExplicitVRLittleEndian)
    body_at = head.index(b"1.2.840.10008.1.2.1.99") + 22
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(4 << 20)) + deflater.flush()
    start = next(n for n in range(body_at, len(head)) if _inflates(head[n:]))
    with pytest.raises(ImageError, match="would inflate to more than"):
        decode_image(head[:start] + bomb)


def _inflates(data: bytes) -> bool:
    try:
        return len(zlib.decompress(data, -zlib.MAX_WBITS)) > 1000
    except zlib.error:
        return False


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The file with some bytes changed, most of them in its header, or cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 3, 20])):
        end = rng.choice([600, len(changed)])
        changed[rng.randrange(132, end)] = rng.choice([0, 1, 127, 255, rng.randrange(256)])
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.2 else changed)


@pytest.mark.parametrize(
    "data",
    [
        dicom_bytes(RAMP, WindowCenter=500, WindowWidth=600),
        run_length_encoded(RAMP),
        compressed(PHOTO, "JPEG", JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422"),
        dicom_bytes(RAMP, syntax=DeflatedExplicitVRLittleEndian),
        dicom_bytes(RAMP, syntax=ImplicitVRLittleEndian),
    ],
    ids=["plain", "rle", "jpeg", "deflated", "implicit"],
)
def test_whatever_is_changed_an_image_or_one_sentence_comes_out(data):
    rng = random.Random(3)
    seen = {True: 0, False: 0}
    for _ in range(120):
        outcome = image_or_sentence(damaged(data, rng))
        assert "\n" not in outcome
        seen[outcome in ("L", "RGB")] += 1
    assert min(seen.values()) > 0


def image_or_sentence(data: bytes) -> str:
    try:
        return decode_image(data).mode
    except ImageError as error:
        return str(error)


def test_a_query_image_may_be_a_dicom_file(tmp_path):
    path = tmp_path / "IM0001"
    path.write_bytes(dicom_bytes(RAMP, WindowCenter=500, WindowWidth=600))
    assert (np.asarray(open_image(path)) == shown(path.read_bytes())).all()
