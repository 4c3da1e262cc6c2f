"""Named recipes: towers and training settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from encoders.base.errors import UserError
from encoders.images.preprocess import Preprocessing
from encoders.model.clip import ClipConfig
from encoders.model.resnet import ModifiedResNetConfig, ResNetConfig
from encoders.model.towers import TextConfig, ViTConfig
from encoders.training.augment import AUGMENTED, NO_AUGMENTATION, Augmentation
from encoders.training.augment_text import NO_TEXT_AUGMENTATION, TextAugmentation

__all__ = ["PRESETS", "TrainingConfig", "preset", "resized"]


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run.

    model: its `text.vocabulary` is an upper limit; the tokenizer trained on the captions may
    need fewer.
    start: folder of an encoder, ours or a published CLIP, to fine-tune; it replaces `model`.
    tower_size: side of a published image tower's images in pixels, 0: its own.
    image_tower, text_tower: a published tower that replaces the model's, by name
    ("efficientnet-lite0", "minilm") or folder; its projection is new.
    freeze: beginnings of the names of parameters that stay: ("image",) locks the image tower,
    ("image.tower",) all of it but its projection.
    dropout: share of the features that a projection does not see while it learns.
    rates: beginnings of names, and what the learning rate is multiplied by there.
    layer_decay: below 1, lower layers learn slower by this factor a layer.

    epochs, max_seconds: whichever ends first; the learning rate falls to zero by then (with
    max_seconds it follows the clock, so two runs differ; without, runs with the same seed on a
    CPU are equal, interrupted or not).
    samples_per_epoch: pairs per epoch, drawn again for each epoch (0: all pairs).
    patience: epochs without a better validation MRR@10 before stopping (0: never).
    ask: what validation asks; "caption": each caption once, on however many images it stands;
    "pair": the caption of every pair (one that stands on many images then outweighs the others).
    batch: pairs that are each other's negatives. micro_batch: how many the towers see at a time
    (gradient caching; 0: all).
    positives: which other pairs of a batch are no negatives; "caption": those of equal text,
    "group": also those of the same case or article.
    loss: "infonce", CLIP's, or "sigmoid", SigLIP's.
    late_interaction: weight of FILIP's loss, of the images' cells and the texts' tokens, beside it.
    learning_rate: its peak. warmup: share of the run. weight_decay: of matrices only, as in
    CLIP. clip_norm: of gradients.
    image_epochs, text_epochs: epochs before all others in which one tower learns alone, from
    images (SimCLR) and from parts of captions.
    concept_epochs: epochs before the others in which the image tower learns to name concepts.
    concept_minimum: how many pairs a concept must have to be learned. concept_loss: what is
    minimised then; both give rare labels more weight than cross-entropy does.
    balance_cap: at most about this many pairs of a concept per epoch, as MetaCLIP (0: no limit).
    precision: "auto" computes in bfloat16 on a GPU, float32 on a CPU.
    device: "auto" is a GPU where there is one.
    checkpoint_seconds: how much work a kill may cost.
    """

    model: ClipConfig
    start: str = ""
    image_tower: str = ""
    tower_size: int = 0
    text_tower: str = ""
    freeze: tuple[str, ...] = ()
    rates: tuple[tuple[str, float], ...] = ()
    layer_decay: float = 1.0
    epochs: int = 20
    max_seconds: float = 0.0
    samples_per_epoch: int = 0
    patience: int = 5
    ask: Literal["pair", "caption"] = "caption"
    batch: int = 64
    micro_batch: int = 0
    positives: Literal["none", "caption", "group"] = "caption"
    loss: Literal["infonce", "sigmoid"] = "infonce"
    late_interaction: float = 0.0
    learning_rate: float = 3e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    dropout: float = 0.0
    augmentation: Augmentation = AUGMENTED
    text_augmentation: TextAugmentation = NO_TEXT_AUGMENTATION
    image_epochs: int = 0
    text_epochs: int = 0
    concept_epochs: int = 0
    concept_minimum: int = 5
    concept_loss: Literal["asymmetric", "focal"] = "asymmetric"
    balance_cap: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    checkpoint_seconds: float = 10.0
    seed: int = 0


GREY = ((0.25,), (0.25,))
# Means and deviations of the images CLIP was trained on (OpenAI's published preprocessor).
CLIP_RGB = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def _grey(size: int) -> Preprocessing:
    return Preprocessing(size, "L", "pad", *GREY)


TINY = TrainingConfig(
    ClipConfig(ResNetConfig(blocks=(0, 1, 1, 1)), TextConfig(2048, width=64), 128, _grey(64)),
    epochs=30,
    patience=10,
)
SMALL = TrainingConfig(
    ClipConfig(
        ResNetConfig(widths=(32, 64, 128, 256)),
        TextConfig(8192, width=128, layers=2),
        256,
        _grey(96),
    ),
    epochs=30,
    batch=128,
    learning_rate=1e-3,
)
VIT_SMALL = TrainingConfig(
    ClipConfig(
        ViTConfig(patch=8, width=192, layers=6, heads=3),
        TextConfig(8192, width=192, layers=3, heads=3),
        256,
        _grey(96),
    ),
    epochs=60,
    batch=128,
    learning_rate=5e-4,
    weight_decay=0.2,
)
# Two published towers, each below a projection of its own. The model's towers are replaced when
# training starts; its text length and dimension count. Of frozen towers 512 numbers keep more than
# 256 (measured: docs/experiments.md).
PUBLISHED = TrainingConfig(
    ClipConfig(TINY.model.image, TextConfig(2048, context=256), 512, TINY.model.preprocessing),
    image_tower="efficientnet-lite0",
    text_tower="minilm",
    dropout=0.3,
    learning_rate=1e-3,
)
ADAPTER = replace(
    PUBLISHED,
    freeze=("image.tower", "text.tower"),
    augmentation=NO_AUGMENTATION,
    epochs=20,
    patience=0,
)
LIT = replace(
    PUBLISHED,
    freeze=("image.tower",),
    augmentation=NO_AUGMENTATION,
    rates=(("text.bert", 0.02),),
    layer_decay=0.9,
    epochs=5,
)
FINETUNE = replace(
    PUBLISHED,
    rates=(("image.body", 0.02), ("text.bert", 0.02)),
    layer_decay=0.9,
    epochs=5,
)
# The text tower and preprocessing of OpenAI's released models (CLIP, table 20).
CLIP_TEXT = TextConfig(
    49408,
    context=77,
    width=512,
    layers=12,
    heads=8,
    causal=True,
    pooling="eos",
    activation="quick_gelu",
)
CLIP_IMAGES = Preprocessing(224, "RGB", "crop", *CLIP_RGB, resample="bicubic")
CLIP_VIT_B_32 = TrainingConfig(
    ClipConfig(
        ViTConfig(patch=32, width=768, layers=12, heads=12, activation="quick_gelu"),
        CLIP_TEXT,
        512,
        CLIP_IMAGES,
    ),
    epochs=32,
    batch=256,
    learning_rate=5e-4,
    weight_decay=0.2,
)
CLIP_RN50 = replace(
    CLIP_VIT_B_32, model=ClipConfig(ModifiedResNetConfig(), CLIP_TEXT, 1024, CLIP_IMAGES)
)

PRESETS: Mapping[str, TrainingConfig] = MappingProxyType(
    {
        # Seconds to minutes on a laptop's CPU: to see CLIP work, and for up to some 5,000 pairs.
        "tiny": TINY,
        # Half an hour on a CPU: finer images, a longer look at captions; 5,000 to 50,000 pairs.
        "small": SMALL,
        # Published towers, frozen: a minute for their features, then seconds; some 1,000 pairs.
        "adapter": ADAPTER,
        # The image tower frozen, the text tower tuned: locked-image tuning (Zhai et al. 2022).
        "lit": LIT,
        # Both tuned, at rates that fall towards their inputs: some 10,000 pairs, a GPU.
        "finetune": FINETUNE,
        # Needs more pairs than a ResNet to do as well (measured: docs/experiments.md), and a GPU.
        "vit-small": VIT_SMALL,
        # The published architecture, 151 M parameters: a GPU, or to fine-tune published weights.
        "clip-vit-b-32": CLIP_VIT_B_32,
        # CLIP's ResNet with attention pooling, 102 M parameters: a GPU.
        "clip-rn50": CLIP_RN50,
    }
)


NO_EFFECT: Mapping[str, tuple[Callable[[TrainingConfig], bool], str]] = MappingProxyType(
    {
        "concept_loss": (
            lambda config: config.concept_epochs > 0,
            "it is of concept epochs, and there are none; add --concept-epochs",
        ),
        "concept_epochs": (
            lambda config: "image" not in config.freeze,
            "the image tower is frozen, its projection too; freeze image.tower alone",
        ),
        "micro_batch": (
            lambda config: config.micro_batch < config.batch,
            "a batch has no more pairs; choose fewer than --batch",
        ),
    }
)
"""Settings that may have no effect: whether they are used, and why not."""


def preset(name: str, **changes: object) -> TrainingConfig:
    """The preset of that name with some fields changed.

    Raises UserError for an unknown name, a change that has no effect, and where nothing is learned.
    """
    if name not in PRESETS:
        raise UserError(f"There is no preset {name!r}. The presets are: {', '.join(PRESETS)}.")
    config = replace(PRESETS[name], **changes)  # type: ignore[arg-type]
    for field, (used, reason) in NO_EFFECT.items():
        if changes.get(field) and not used(config):
            raise UserError(f"--{field.replace('_', '-')} has no effect: {reason}.")
    if config.learning_rate <= 0:
        raise UserError(f"At a learning rate of {config.learning_rate:g} nothing is learned.")
    return config


def resized(
    config: TrainingConfig,
    *,
    image_size: int = 0,
    context: int = 0,
    dimension: int = 0,
    heads: int = 0,
) -> TrainingConfig:
    """The same recipe in other sizes; 0 leaves one as it is.

    image_size: side of the images in pixels, of a published image tower too. context: longest text
    in tokens, the special ones included. dimension: numbers of a vector, of each head where there
    are several. heads: projections on each tower. Raises UserError if an encoder to start from
    decides that already.
    """
    sizes = {"image-size": image_size, "context": context, "dimension": dimension, "heads": heads}
    given = [f"--{name}" for name, size in sizes.items() if size]
    if config.start and given:
        raise UserError(f"{config.start} has sizes of its own: remove {' and '.join(given)}.")
    model = config.model
    each, heads = dimension or model.dimension // model.heads, heads or model.heads
    model = replace(
        model,
        preprocessing=replace(model.preprocessing, size=image_size or model.preprocessing.size),
        text=replace(model.text, context=context or model.text.context),
        dimension=each * heads,
        heads=heads,
    )
    return replace(config, model=model, tower_size=image_size or config.tower_size)
