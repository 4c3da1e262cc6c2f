"""Read the image preprocessing of a published model.

https://huggingface.co/docs/transformers/main_classes/image_processor
https://github.com/mlfoundations/open_clip/blob/main/src/open_clip/transform.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from PIL import Image

from encoders.images.preprocess import Preprocessing
from encoders.model.architecture import EncoderError
from encoders.published.files import read_json

__all__ = ["CLIP_MEAN", "CLIP_STD", "huggingface_images", "open_clip_images"]

Resize = Literal["pad", "crop", "crop-rounded", "stretch"]
Filter = Literal["bilinear", "bicubic"]

# OpenAI's preprocessing, where the folder names none.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
_CLIP = {
    "resample": 3,
    "do_center_crop": True,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
}
_SQUARE = {
    "do_center_crop": False,
    "image_mean": HALF,
    "image_std": HALF,
}
# What a folder leaves out: the defaults of its class in transformers.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "CLIP": _CLIP,
    "Bit": _CLIP,
    "Siglip": {**_SQUARE, "resample": 3},
    "ViT": {**_SQUARE, "resample": 2},
}


def huggingface_images(folder: Path, family: str, size: int) -> Preprocessing:
    """What preprocessor_config.json, or processor_config.json, says.

    family: whose defaults count where the folder names no class. size: the tower's, in pixels,
    which counts where the folder names none.
    Raises EncoderError, with what differs, where the folder asks for what we do not do.
    """
    found = _processor(folder)
    named = str(found.get("image_processor_type") or found.get("feature_extractor_type") or family)
    for ending in ("ImageProcessor", "FeatureExtractor"):
        named = named.split(ending, maxsplit=1)[0]
    if named not in _DEFAULTS:
        raise _refused(folder, f"it is a {named}ImageProcessor")
    usual = _DEFAULTS[named]
    crop = found.get("do_center_crop", usual["do_center_crop"])
    told: dict[str, Any] = {
        **usual,
        "size": {"shortest_edge": size} if crop else {"height": size, "width": size},
        "crop_size": size,
        **{name: value for name, value in found.items() if value is not None},
    }
    for switch, wanted in (("do_resize", True), ("do_rescale", True), ("do_pad", False)):
        if told.get(switch, wanted) is not wanted:
            raise _refused(folder, f"{switch} is {told[switch]}")
    if abs(told.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise _refused(folder, f"rescale_factor is {told['rescale_factor']}, not 1/255")
    normal = told.get("do_normalize", True)
    resize, shortest, side = _geometry(folder, told)
    return Preprocessing(
        size=side,
        mode="RGB",
        resize=resize,
        mean=tuple(map(float, told["image_mean"])) if normal else (0.0,) * 3,
        std=tuple(map(float, told["image_std"])) if normal else (1.0,) * 3,
        resample=_filter(folder, Image.Resampling(told["resample"]).name.lower()),
        shortest=0 if shortest == side else shortest,
    )


def open_clip_images(folder: Path, told: Mapping[str, Any], size: int) -> Preprocessing:
    """What `preprocess_cfg` of open_clip_config.json says."""
    mode = told.get("resize_mode", "shortest")
    modes: Mapping[str, Resize] = {"shortest": "crop-rounded", "squash": "stretch"}
    if mode not in modes:
        raise _refused(folder, f"resize_mode is {mode!r}")
    if told.get("mode", "RGB") != "RGB":
        raise _refused(folder, f"mode is {told['mode']!r}")
    given = told.get("size", size)
    if given not in (size, [size, size]):
        raise _refused(folder, f"size is {given}, and the tower's {size}")
    return Preprocessing(
        size=size,
        mode="RGB",
        resize=modes[mode],
        mean=tuple(told.get("mean") or CLIP_MEAN),
        std=tuple(told.get("std") or CLIP_STD),
        resample=_filter(folder, told.get("interpolation", "bicubic")),
    )


def _processor(folder: Path) -> dict[str, Any]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            content = read_json(folder / name)
            content = content.get("image_processor", content)
            if "size" in content or "image_mean" in content or "do_resize" in content:
                return dict(content)
    return {}


def _geometry(folder: Path, told: Mapping[str, Any]) -> tuple[Resize, int, int]:
    """Resize rule, the short side before the crop, and the side of the square that is left."""
    size = told["size"]
    if isinstance(size, int):  # early files; what it means depends on the crop
        size = (
            {"shortest_edge": size} if told["do_center_crop"] else {"height": size, "width": size}
        )
    if told["do_center_crop"]:
        crop = told["crop_size"]
        crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
        if crop["height"] != crop["width"]:
            raise _refused(folder, f"crop_size is {crop}, not a square")
        if set(size) == {"shortest_edge"} and size["shortest_edge"] >= crop["height"]:
            return "crop", int(size["shortest_edge"]), int(crop["height"])
        if size.get("height") == size.get("width") == crop["height"]:
            return "stretch", 0, int(crop["height"])
        raise _refused(folder, f"size is {size} and crop_size {crop}")
    if set(size) != {"height", "width"} or size["height"] != size["width"]:
        raise _refused(folder, f"size is {size} without a crop, so images are no squares")
    return "stretch", 0, int(size["height"])


def _filter(folder: Path, name: str) -> Filter:
    if name not in ("bilinear", "bicubic"):
        raise _refused(folder, f"images are resampled by {name}")
    return cast(Filter, name)


def _refused(folder: Path, what: str) -> EncoderError:
    return EncoderError(
        f"The image preprocessing of {folder} is not supported ({what}), so its vectors would be "
        "wrong."
    )
