"""How much of the text burnt into drawn images is found, and what tesseract reads after masking.

    python -m benchmarks.burned_in --images 150 --fonts FOLDER    # the figures of docs/corpus.md
    python -m benchmarks.burned_in --images 30 --set tune         # what thresholds were chosen on
    python -m benchmarks.burned_in --images 120 --dicom --fonts FOLDER    # through DICOM cines
    python -m benchmarks.burned_in --folder ../shared/data/medpix/validation/images --images 60

The two sets share neither fonts nor backgrounds: `tune` writes in DejaVu on drawn phantoms,
`measure` in Liberation and Pillow's own font, or in those of a folder, on smooth noise and discs.
Each image bears one to four texts of names, dates and numbers, of 12 to 40 points and 50 to 225
grey levels of contrast. A text is found when 95 % of its ink lies in boxes; a box is right when it
covers ink. Ink is what changed by 8 grey levels at least: black on black is seen by no one.
With --dicom the images are the frames of drawn cines, three of one background in each file, and
boxes and masked images are those of `rocosearch corpus --frames all --mask-text`.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

from ingest.corpus.records import Record
from ingest.sources.burned_in import Box, TextFinder, masked
from ingest.sources.open import open_source
from ingest.sources.phantoms import Phantoms

FONTS = Path("/usr/share/fonts/truetype")
NAMES = ("DOE", "SMITH", "MUELLER", "GARCIA", "NGUYEN", "KOWALSKI", "ROSSI", "IVANOVA", "TANAKA")
FIRST = ("JANE", "PETER", "MARIA", "OLGA", "KENJI", "AMINA", "PAUL", "LUCIA", "TOM")
SIZES = ((512, 512), (640, 480), (800, 600), (1024, 768))
APART = 12  # pixels between two texts
LEAST_CONTRAST = 50
SEEN = 8  # grey levels
FRAMES = 3  # of a cine


@dataclass
class Drawn:
    """An image with texts; ink: for each text, bool [H, W], the pixels that it changed."""

    image: Image.Image
    texts: list[str] = field(default_factory=list)
    ink: list[np.ndarray] = field(default_factory=list)


def _texts(rng: random.Random) -> list[str]:
    name, first = rng.choice(NAMES), rng.choice(FIRST)
    kinds = [
        f"{name}^{first}",
        f"{name.title()}, {first.title()}",
        f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.{rng.randint(1930, 2015)}",
        f"ID {rng.randint(1000, 9_999_999)}",
        f"ACC {rng.randint(10_000, 99_999)}",
        f"Dr. {name.title()}",
    ]
    rng.shuffle(kinds)
    return kinds[: rng.randint(1, 4)]


def _phantoms(count: int) -> list[Image.Image]:
    images = (Image.open(io.BytesIO(record.image or b"")) for record in Phantoms(count))
    return [image.convert("L").resize((512, 512), Image.Resampling.BICUBIC) for image in images]


def _noise(rng: random.Random) -> Image.Image:
    noise = np.random.default_rng(rng.randrange(2**32))
    width, height = rng.choice(SIZES)
    small = Image.fromarray(noise.integers(0, 255, (12, 16), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    rows, columns = np.mgrid[:height, :width]
    disc = np.hypot(rows - height / 2, (columns - width / 2) * 0.8) < 0.4 * height
    values = smooth * rng.uniform(0.2, 0.7)
    values = np.where(disc, values + 40, values * rng.choice([0.1, 1.0]))
    values += noise.normal(0, rng.uniform(0, 10), values.shape)
    image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(rng.choice([0, 0.6])))


def _font(
    kind: str, fonts: Path | None, rng: random.Random
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    size = rng.randint(12, 40)
    if kind == "measure" and fonts is None and rng.random() < 0.15:
        return ImageFont.load_default(size)
    folder = fonts or FONTS / ("dejavu" if kind == "tune" else "liberation")
    found = sorted(path for path in folder.glob("*.[ot]tf") if "Math" not in path.name)
    return ImageFont.truetype(rng.choice(found), size)


def _grey(around: float, rng: random.Random) -> int:
    contrast = rng.randint(60, 225) * rng.choice([1, -1])
    grey = float(np.clip(around + contrast, 0, 255))
    if abs(grey - around) < LEAST_CONTRAST:
        grey = float(np.clip(around - contrast, 0, 255))
    return int(grey if abs(grey - around) >= LEAST_CONTRAST else 255 * (around < 128))


def drawn(
    background: Image.Image, kind: str, rng: random.Random, fonts: Path | None = None
) -> Drawn:
    """The background with one to four texts, apart from each other."""
    made = Drawn(background.copy())
    taken = np.zeros((background.height, background.width), np.bool_)
    for text in _texts(rng):
        font = _font(kind, fonts, rng)
        left, top, right, bottom = map(int, font.getbbox(text))
        width, height = right - left, bottom - top
        if width + 2 * APART > background.width:
            continue
        for _ in range(30):
            x = rng.randint(2, background.width - width - 4)
            y = rng.randint(2, background.height - height - 4)
            place = np.s_[
                max(0, y - APART) : y + height + APART, max(0, x - APART) : x + width + APART
            ]
            if taken[place].any():
                continue
            taken[place] = True
            around = float(np.asarray(made.image.crop((x, y, x + width, y + height))).mean())
            layer = Image.new("L", made.image.size, 0)
            ImageDraw.Draw(layer).text((x - left, y - top), text, font=font, fill=255)
            before = np.asarray(made.image, np.int16)
            made.image.paste(_grey(around, rng), mask=layer)
            changed = np.abs(np.asarray(made.image, np.int16) - before) >= SEEN
            ink = (np.asarray(layer) > 64) & changed
            if ink.any():
                made.texts.append(text)
                made.ink.append(ink)
            break
    return made


def examples(kind: str, count: int, seed: int, fonts: Path | None = None) -> list[Drawn]:
    """Images of one of the two sets; fonts: a folder of them, in place of the set's own."""
    rng = random.Random(seed)
    grounds = _phantoms(count) if kind == "tune" else [_noise(rng) for _ in range(count)]
    return [drawn(ground, kind, rng, fonts) for ground in grounds]


def covered(boxes: Sequence[Box], shape: tuple[int, ...]) -> np.ndarray:
    """Bool [H, W]: what lies in the boxes."""
    found = np.zeros(shape, np.bool_)
    for left, top, right, bottom in boxes:
        found[top:bottom, left:right] = True
    return found


def names_read(image: Image.Image, texts: Sequence[str]) -> set[str]:
    """Which of the names in the texts tesseract still reads."""
    data = io.BytesIO()
    image.resize((image.width * 2, image.height * 2)).save(data, "PNG")
    command = ["tesseract", "-", "-", "--psm", "11"]
    answer = subprocess.run(command, input=data.getvalue(), capture_output=True, check=True)
    words = {word.upper() for word in re.findall(r"[A-Za-z]{3,}", answer.stdout.decode())}
    return {name for name in (*NAMES, *FIRST) if name in words and name in " ".join(texts).upper()}


def direct(examples_made: Sequence[Drawn]) -> Iterator[tuple[Drawn, list[Box], Image.Image]]:
    """Each image with the boxes found in it, and masked."""
    finder = TextFinder()
    for made in examples_made:
        boxes = finder.boxes(made.image)
        yield made, boxes, masked(made.image, boxes)


def through_dicom(
    count: int, kind: str, seed: int, fonts: Path | None = None
) -> Iterator[tuple[Drawn, list[Box], Image.Image]]:
    """The same of frames, as the records of a corpus of cines have them."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        cines: dict[str, list[Drawn]] = {}
        for number in range(-(-count // FRAMES)):
            ground = _noise(rng)
            frames = [drawn(ground, kind, rng, fonts) for _ in range(FRAMES)]
            name = f"IM{number:04}"
            _write_cine(Path(folder, name), [np.asarray(frame.image) for frame in frames])
            cines[name] = frames
        for row in open_source(folder, frames="all", text="mask"):
            if not isinstance(row, Record):
                if not row.row_kept:
                    raise SystemExit(f"a drawn file was refused: {row}")
                continue
            made = cines[row.file][int(row.extra["frame"]) - 1]
            boxes = [(le, t, r, b) for le, t, r, b in row.extra.get("text_boxes", [])]
            yield made, boxes, Image.open(io.BytesIO(row.image or b""))


def _write_cine(path: Path, frames: Sequence[np.ndarray]) -> None:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.StudyInstanceUID = generate_uid()
    made.Modality, made.PatientID, made.NumberOfFrames = "US", path.name, len(frames)
    made.ImageComments = path.name
    made.Rows, made.Columns = frames[0].shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.PixelData = np.stack(frames).tobytes()
    made["PixelData"].VR = "OB"
    made.save_as(path, enforce_file_format=True)


def _measure(kind: str, examples_made: Iterable[tuple[Drawn, list[Box], Image.Image]]) -> None:
    images = texts = found = right = boxes_in_all = named = 0
    for made, boxes, hidden in examples_made:
        cover = covered(boxes, np.asarray(made.image).shape)
        for text, ink in zip(made.texts, made.ink, strict=True):
            texts += 1
            share = (cover & ink).sum() / ink.sum()
            found += share >= 0.95
            if share < 0.95:
                print(f"  missed in image {images}: {text} ({share:.2f} of its ink in boxes)")
        ink = np.any(made.ink, axis=0) if made.ink else np.zeros(cover.shape, np.bool_)
        right += sum(bool(ink[t:b, le:r].any()) for le, t, r, b in boxes)
        boxes_in_all += len(boxes)
        if shutil.which("tesseract"):
            named += bool(names_read(hidden, made.texts))
        images += 1
    print(
        f"{kind}: {texts} texts in {images} images; recall {found / texts:.4f}, "
        f"precision {right / max(1, boxes_in_all):.4f} of {boxes_in_all} boxes; tesseract reads a "
        f"name after masking in {named} images"
    )


def main() -> None:
    """Measure on drawn images, or count flagged images of a folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--set", choices=("tune", "measure"), default="measure")
    parser.add_argument("--folder", type=Path, help="count the images of a folder that are flagged")
    parser.add_argument("--fonts", type=Path, help="a folder of TrueType or OpenType fonts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dicom", action="store_true", help="as the frames of drawn DICOM cines")
    options = parser.parse_args()
    asked = options.images, options.seed, options.fonts
    if options.dicom:
        _measure("frames", through_dicom(asked[0], options.set, *asked[1:]))
        return
    if options.folder is None:
        _measure(options.set, direct(examples(options.set, *asked)))
        return
    finder = TextFinder()
    paths = sorted(options.folder.iterdir())
    chosen = paths[:: max(1, len(paths) // options.images)][: options.images]
    flagged = 0
    for path in chosen:
        boxes = finder.boxes(Image.open(path))
        flagged += bool(boxes)
        print(path.name, boxes)
    print(f"{flagged} of {len(chosen)} images are flagged")


if __name__ == "__main__":
    main()
