"""Published models of each family have their own vectors here, with their own preprocessing.

Random weights in the shapes of the families' real configurations; transformers is the oracle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

from encoders.export.towers import export_towers
from encoders.images.preprocess import Preprocessing
from encoders.model.architecture import ClipConfig, EncoderError, image_tower, text_tower
from encoders.model.clip import Encoder
from encoders.model.module import normalize
from encoders.model.tokenizer import batch_ids
from encoders.published import open_clip
from encoders.published.convert import own_folder
from encoders.published.folders import NoFolderError, check_folder
from encoders.published.positions import resized_positions
from encoders.published.preprocessing import huggingface_images, open_clip_images
from encoders.published.single_towers import fill
from encoders.published.towers import image_part, load_any, text_part

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "chest", "lung", "left", "right", "x", "-", "ray"]
TEXTS = ["chest", "a left lung x-ray", "lung " * 40, ""]
BLOCKS = {"num_hidden_layers": 2, "num_attention_heads": 4}


def odd_images(count: int = 50) -> list[Image.Image]:
    """Smooth pictures of odd shapes, wide and tall, grey and in colours."""
    rng = np.random.default_rng(0)
    out = []
    for number in range(count):
        width, height = (int(side) for side in rng.integers(20, 160, 2))
        mode, channels = (("RGB", 3), ("L", 1))[number % 5 == 0]
        coarse = rng.integers(0, 255, (7, 9, channels), dtype=np.uint8)
        small = Image.fromarray(coarse if channels == 3 else coarse[..., 0], mode=None)
        assert small.mode == mode
        out.append(small.resize((width, height), Image.Resampling.BICUBIC))
    return out


def words(folder: Path, *, pad: str = "[PAD]", siglip: bool = False) -> Tokenizer:
    """A small word-piece tokenizer in the folder."""
    made = Tokenizer(models.WordPiece({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if siglip:
        made.post_processor = processors.TemplateProcessing(
            single="$A [SEP]", special_tokens=[("[SEP]", 3)]
        )
    else:
        made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": pad}))
    return made


def processor(folder: Path, kind: str, **settings: object) -> Callable[[Image.Image], torch.Tensor]:
    """Write preprocessor_config.json; the oracle is transformers' class of that name."""
    theirs = getattr(transformers, f"{kind}ImageProcessorPil")(**settings)
    told = {**settings, "image_processor_type": f"{kind}ImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return lambda image: theirs(image.convert("RGB"), return_tensors="pt")["pixel_values"]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def siglip_folder(folder: Path, pad: str = "[PAD]") -> tuple[nn.Module, Tokenizer]:
    """SigLIP in MedSigLIP's layout: MLPs that are not four times as wide, mean and deviation .5."""
    torch.manual_seed(0)
    shape = {**BLOCKS, "hidden_size": 32, "intermediate_size": 84}
    config = transformers.SiglipConfig(
        text_config={
            **shape,
            "vocab_size": len(WORDS),
            "max_position_embeddings": 16,
            "bos_token_id": None,
            "eos_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**shape, "image_size": 28, "patch_size": 7},
    )
    model = transformers.SiglipModel(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    return model, words(folder, pad=pad, siglip=True)


@torch.no_grad()
@pytest.mark.parametrize("pad", ["[PAD]", "[SEP]"])
def test_siglip(tmp_path: Path, pad: str):
    model, tokenizer = siglip_folder(tmp_path, pad)
    prepare = processor(
        tmp_path, "Siglip", size={"height": 28, "width": 28}, resample=2,
        image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )  # fmt: skip
    encoder = load_any(tmp_path)
    images = odd_images()
    expected = torch.cat([model.get_image_features(prepare(i)).pooler_output for i in images])
    assert cosines(encoder.encode_images(images), expected.numpy()).min() >= 0.99999
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16, pad_id=tokenizer.token_to_id(pad), pad_token=pad)
    ids = torch.tensor([e.ids for e in tokenizer.encode_batch(TEXTS)])
    expected = nn.functional.normalize(model.get_text_features(ids).pooler_output, dim=-1)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected.numpy(), atol=1e-5)
    encoder.save(tmp_path / "ours")
    again = Encoder.load(tmp_path / "ours")
    assert again.manifest == encoder.manifest
    exported = export_towers(again, tmp_path / "ours")
    assert max(exported.text_difference, exported.image_difference) < 1e-5


def vision_model(kind: str, folder: Path) -> nn.Module:
    torch.manual_seed(0)
    shape = {**BLOCKS, "hidden_size": 32, "image_size": 42, "patch_size": 7}
    if kind == "ViT":
        config = transformers.ViTConfig(**shape, intermediate_size=64)
    else:
        config = getattr(transformers, f"{kind}Config")(**shape, mlp_ratio=2)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "images", "settings"),
    [
        ("ViT", "ViT", {"size": {"height": 42, "width": 42}, "resample": 2}),
        (
            "Dinov2",
            "Bit",
            {"size": {"shortest_edge": 48}, "crop_size": {"height": 42, "width": 42}},
        ),
        # RAD-DINO's layout: crops as large as the short side; here of another size than trained.
        (
            "Dinov2",
            "Bit",
            {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}},
        ),
        (
            "Dinov2WithRegisters",
            "Bit",
            {"size": {"shortest_edge": 45}, "crop_size": {"height": 35, "width": 35}},
        ),
    ],
)
def test_vision_transformers(tmp_path: Path, kind: str, images: str, settings: dict[str, object]):
    model = vision_model(kind, tmp_path)
    statistics = {"image_mean": [0.5, 0.4, 0.6], "image_std": [0.2, 0.3, 0.25]}
    prepare = processor(tmp_path, images, **settings, **statistics)
    part = image_part(str(tmp_path))
    tower = image_tower(ClipConfig(part.config, None, 8, part.preprocessing))
    fill(tower, part.weights)
    pictures = odd_images()
    pixels = np.stack([part.preprocessing.pixels(image) for image in pictures])
    ours = tower.eval().features(normalize(torch.from_numpy(pixels), part.preprocessing))
    expected = [model(prepare(image)).last_hidden_state[:, 0] for image in pictures]
    assert cosines(ours.numpy(), torch.cat(expected).numpy()).min() >= 0.99999


@torch.no_grad()
def test_roberta(tmp_path: Path):
    torch.manual_seed(0)
    model = transformers.RobertaModel(
        transformers.RobertaConfig(
            **BLOCKS, hidden_size=32, intermediate_size=64, vocab_size=len(WORDS),
            max_position_embeddings=20, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5,
        )
    ).eval()  # fmt: skip
    model.save_pretrained(tmp_path)
    words(tmp_path)
    part = text_part(str(tmp_path), 64)
    assert part.config.context == 18  # 20, and the first two are never used
    tower = text_tower(ClipConfig(None, part.config, 8, Preprocessing()))
    fill(tower, part.weights)
    for text in TEXTS:
        ids, mask = map(torch.from_numpy, batch_ids(part.words, [text]))
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state.mean(1)
        torch.testing.assert_close(tower.eval().features(ids, mask), expected, rtol=0, atol=1e-5)


def test_a_published_model_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    siglip_folder(folder)
    kept = own_folder(folder)
    assert Encoder.load(kept).manifest == load_any(folder).manifest
    before = (kept / "model.safetensors").stat().st_mtime_ns
    assert own_folder(folder) == kept
    assert (kept / "model.safetensors").stat().st_mtime_ns == before
    assert own_folder(kept) == kept
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert own_folder(folder) != kept


def test_shards_are_read_whole(tmp_path: Path):
    siglip_folder(tmp_path)
    whole = load_any(tmp_path).manifest
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = sorted(weights)
    files = {"a": names[::2], "b": names[1::2]}
    for shard, part in files.items():
        save_file({name: weights[name] for name in part}, tmp_path / f"{shard}.safetensors")
    where = {name: f"{shard}.safetensors" for shard, part in files.items() for name in part}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    assert load_any(tmp_path).manifest == whole
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"b\.safetensors is missing"):
        load_any(tmp_path)


def test_pickles_are_refused_with_the_command_that_converts_them(tmp_path: Path):
    siglip_folder(tmp_path)
    whole = load_any(tmp_path).manifest
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="is a pickle") as caught:
        load_any(tmp_path)
    command = str(caught.value).split('python -c "')[1].removesuffix('"')
    assert "weights_only=True" in command
    exec(command, {})
    assert load_any(tmp_path).manifest == whole


def test_names_tell_how_to_download(tmp_path: Path):
    with pytest.raises(NoFolderError, match="hf download google/medsiglip-448 --local-dir"):
        check_folder("google/medsiglip-448")
    with pytest.raises(NoFolderError, match="is not a folder"):
        check_folder(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text('{"model_type": "blip"}')
    with pytest.raises(EncoderError, match="'blip' model"):
        load_any(tmp_path)


def test_single_towers_are_sent_to_training(tmp_path: Path):
    vision_model("ViT", tmp_path)
    with pytest.raises(EncoderError, match="--image-tower"):
        load_any(tmp_path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"image_processor_type": "ConvNextImageProcessor"}, "ConvNext"),
        ({"do_resize": False}, "do_resize"),
        ({"rescale_factor": 1 / 127.5}, "rescale_factor"),
        ({"resample": 1}, "lanczos"),
        ({"size": {"shortest_edge": 224}, "do_center_crop": False}, "no squares"),
        ({"crop_size": {"height": 224, "width": 200}}, "not a square"),
        ({"size": {"shortest_edge": 100}}, "crop_size"),
        ({"do_pad": True}, "do_pad"),
    ],
)
def test_other_preprocessing_is_refused_with_what_differs(
    tmp_path: Path, settings: dict[str, object], told: str
):
    content = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 224},
        **settings,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(EncoderError, match=told):
        huggingface_images(tmp_path, "CLIP", 224)


def test_processor_config_counts_where_the_other_is_missing(tmp_path: Path):
    content = {"image_processor": {"image_processor_type": "SiglipImageProcessor",
               "size": {"height": 448, "width": 448}, "resample": 2}}  # fmt: skip
    (tmp_path / "processor_config.json").write_text(json.dumps(content))
    found = huggingface_images(tmp_path, "CLIP", 224)
    assert (found.size, found.resize, found.resample, found.mean) == (
        448, "stretch", "bilinear", (0.5, 0.5, 0.5))  # fmt: skip


def test_torchvisions_crop_is_rounded():
    """CenterCrop rounds the margin to even, transformers cuts it off."""
    for side in range(33, 60):
        row = Image.fromarray(np.arange(side, dtype=np.uint8)[None].repeat(32, 0))
        wide = replace(Preprocessing(size=32), resize="crop-rounded").pixels(row)
        assert wide[0, 0, 0] == round((side - 32) / 2)
        assert (
            replace(Preprocessing(size=32), resize="crop").pixels(row)[0, 0, 0] == (side - 32) // 2
        )


def test_open_clip_preprocessing(tmp_path: Path):
    assert open_clip_images(tmp_path, {}, 224).resize == "crop-rounded"
    assert open_clip_images(tmp_path, {"resize_mode": "squash"}, 224).resize == "stretch"
    with pytest.raises(EncoderError, match="longest"):
        open_clip_images(tmp_path, {"resize_mode": "longest"}, 224)


def test_positions_of_the_same_size_stay():
    positions = torch.randn(1 + 16, 8)
    assert resized_positions(positions, 4, before=1) is positions
    larger = resized_positions(positions, 8, before=1)
    assert larger.shape == (65, 8)
    assert larger[0].equal(positions[0])
    assert math.isclose(larger[1:].mean(), positions[1:].mean(), abs_tol=0.05)
    with pytest.raises(EncoderError, match="no square"):
        resized_positions(torch.randn(6, 8), 4, before=1)


@torch.no_grad()
def test_open_clip_in_biomedclips_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """timm's ViT below a linear head, and a BERT below an MLP; transformers is the oracle."""
    monkeypatch.setitem(open_clip.TIMM, "vit_tiny", (32, 2, 4))
    torch.manual_seed(0)
    shape = {**BLOCKS, "hidden_size": 32}
    seen = transformers.ViTModel(
        transformers.ViTConfig(
            **shape, intermediate_size=128, image_size=28, patch_size=7, layer_norm_eps=1e-6
        ),
        add_pooling_layer=False,
    ).eval()
    bert = {**shape, "intermediate_size": 64, "vocab_size": len(WORDS)}
    read = transformers.BertModel(
        transformers.BertConfig(**bert, max_position_embeddings=40), add_pooling_layer=False
    ).eval()
    for model in (seen, read):
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.2)
    head, first, second = (torch.randn(*size) for size in ((24, 32), (28, 32), (24, 28)))
    vit = load_vit_state(seen)
    state = {
        "logit_scale": torch.tensor(2.0),
        "visual.head.proj.weight": head,
        "text.proj.0.weight": first,
        "text.proj.2.weight": second,
        **{f"visual.trunk.{name}": value for name, value in vit.items()},
        **{f"text.transformer.{name}": value for name, value in read.state_dict().items()},
    }
    save_file({n: v.contiguous() for n, v in state.items()}, tmp_path / "model.safetensors")
    words(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({
        "model_cfg": {
            "embed_dim": 24,
            "vision_cfg": {
                "timm_model_name": "vit_tiny_patch7_28",
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "image_size": 28,
            },
            "text_cfg": {
                "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
                "hf_proj_type": "mlp",
                "hf_pooler_type": "cls_last_hidden_state_pooler",
                "context_length": 20,
                "hf_config": {**bert, "max_position_embeddings": 40},
            },
        },
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
    }))  # fmt: skip
    encoder = load_any(tmp_path)
    assert encoder.manifest.max_tokens == 20
    settings = encoder.module.config.preprocessing
    assert (settings.resize, settings.resample) == ("crop-rounded", "bicubic")
    images = odd_images(5)
    pixels = torch.from_numpy(np.stack([settings.pixels(image) for image in images]))
    expected = seen(normalize(pixels, settings)).last_hidden_state[:, 0] @ head.T
    assert cosines(encoder.encode_images(images), expected.numpy()).min() >= 0.99999
    for text in TEXTS:
        ids, mask = map(torch.from_numpy, batch_ids(encoder.module.tokenizer, [text]))
        states = read(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        expected = nn.functional.gelu(states @ first.T) @ second.T
        expected = nn.functional.normalize(expected, dim=-1)
        np.testing.assert_allclose(encoder.encode_texts([text]), expected.numpy(), atol=1e-5)
    encoder.save(tmp_path / "ours")
    exported = export_towers(encoder, tmp_path / "ours")
    assert max(exported.text_difference, exported.image_difference) < 1e-5


def load_vit_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """A ViT of transformers under timm's names."""
    theirs = model.state_dict()
    out = {
        "cls_token": theirs["embeddings.cls_token"],
        "pos_embed": theirs["embeddings.position_embeddings"],
    }
    names = {
        "attn.proj": "attention.o_proj",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    for part in ("weight", "bias"):
        out[f"patch_embed.proj.{part}"] = theirs[f"embeddings.patch_embeddings.projection.{part}"]
        out[f"norm.{part}"] = theirs[f"layernorm.{part}"]
        for layer in range(2):
            rows = [theirs[f"layers.{layer}.attention.{role}_proj.{part}"] for role in "qkv"]
            out[f"blocks.{layer}.attn.qkv.{part}"] = torch.cat(rows)
            for ours, name in names.items():
                out[f"blocks.{layer}.{ours}.{part}"] = theirs[f"layers.{layer}.{name}.{part}"]
    return out


@torch.no_grad()
def test_a_vision_transformer_takes_images_of_another_size(tmp_path: Path):
    """Its positions are interpolated as transformers interpolates them."""
    model = vision_model("ViT", tmp_path)
    processor(tmp_path, "ViT", size={"height": 42, "width": 42})
    part = image_part(str(tmp_path), 56)
    assert part.preprocessing.size == 56
    tower = image_tower(ClipConfig(part.config, None, 8, part.preprocessing))
    fill(tower, part.weights)
    pixels = torch.rand(3, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    expected = model(pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0]
    torch.testing.assert_close(tower.eval().features(pixels), expected, rtol=1e-4, atol=1e-5)


def open_clip_resnet() -> dict[str, torch.Tensor]:
    """Random weights of a small CLIP with a ResNet, under open_clip's names."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, spread: float = 0.2) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * spread

    state: dict[str, torch.Tensor] = {"logit_scale": torch.tensor(2.0)}

    def conv(name: str, norm: str, out: int, into: int, kernel: int) -> None:
        state[f"visual.{name}.weight"] = drawn(out, into, kernel, kernel)
        state[f"visual.{norm}.weight"] = 1 + drawn(out)
        state[f"visual.{norm}.bias"] = drawn(out)
        state[f"visual.{norm}.running_mean"] = drawn(out)
        state[f"visual.{norm}.running_var"] = 1 + drawn(out).abs()

    for n, (into, out) in enumerate([(3, 8), (8, 8), (8, 16)], start=1):
        conv(f"conv{n}", f"bn{n}", out, into, 3)
    before = 16
    for layer in range(4):
        width = 16 * 2**layer
        for block in range((1, 2, 1, 1)[layer]):
            name = f"layer{layer + 1}.{block}"
            shapes = [(width, before, 1), (width, width, 3), (4 * width, width, 1)]
            for n, (out, into, kernel) in enumerate(shapes, start=1):
                conv(f"{name}.conv{n}", f"{name}.bn{n}", out, into, kernel)
            if block == 0:
                conv(f"{name}.downsample.0", f"{name}.downsample.1", 4 * width, before, 1)
            before = 4 * width
    for part, out in (("q", before), ("k", before), ("v", before), ("c", 24)):
        state[f"visual.attnpool.{part}_proj.weight"] = drawn(out, before, spread=0.05)
        state[f"visual.attnpool.{part}_proj.bias"] = drawn(out)
    state["visual.attnpool.positional_embedding"] = drawn(5, before)
    width, count = 32, len(WORDS)
    state |= {
        "token_embedding.weight": drawn(count, width),
        "positional_embedding": drawn(9, width),
    }
    state |= {"ln_final.weight": 1 + drawn(width), "ln_final.bias": drawn(width)}
    state["text_projection"] = drawn(width, 24)
    block = "transformer.resblocks.0"
    for name, shape in {
        "ln_1.weight": (width,), "ln_1.bias": (width,), "ln_2.weight": (width,),
        "ln_2.bias": (width,), "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,), "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,), "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,), "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
    }.items():  # fmt: skip
        state[f"{block}.{name}"] = drawn(*shape)
    return state


def resnet_run(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """CLIP's ResNet from its paper and its published names, batch normalisation apart."""
    f = nn.functional

    def conv(x: torch.Tensor, name: str, norm: str, stride: int = 1) -> torch.Tensor:
        kernel = state[f"visual.{name}.weight"]
        x = f.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        parts = ("running_mean", "running_var", "weight", "bias")
        return f.batch_norm(x, *(state[f"visual.{norm}.{part}"] for part in parts))

    for n, stride in ((1, 2), (2, 1), (3, 1)):
        x = f.relu(conv(x, f"conv{n}", f"bn{n}", stride))
    x = f.avg_pool2d(x, 2)
    for layer in range(4):
        for block in range((1, 2, 1, 1)[layer]):
            name, stride = f"layer{layer + 1}.{block}", 2 if layer and not block else 1
            y = f.relu(conv(x, f"{name}.conv1", f"{name}.bn1"))
            y = f.avg_pool2d(f.relu(conv(y, f"{name}.conv2", f"{name}.bn2")), stride)
            y = conv(y, f"{name}.conv3", f"{name}.bn3")
            if not block:
                x = f.avg_pool2d(x, stride)
                x = conv(x, f"{name}.downsample.0", f"{name}.downsample.1")
            x = f.relu(x + y)
    cells = x.flatten(2).permute(2, 0, 1)
    cells = torch.cat([cells.mean(0, keepdim=True), cells])
    cells = cells + state["visual.attnpool.positional_embedding"][:, None]
    weights = {p: state[f"visual.attnpool.{p}_proj.weight"] for p in "qkvc"}
    biases = {p: state[f"visual.attnpool.{p}_proj.bias"] for p in "qkvc"}
    found, _ = f.multi_head_attention_forward(
        cells[:1], cells, cells, cells.shape[-1], 8, None,
        torch.cat([biases[p] for p in "qkv"]), None, None, False, 0.0,
        weights["c"], biases["c"], training=False, use_separate_proj_weight=True,
        q_proj_weight=weights["q"], k_proj_weight=weights["k"], v_proj_weight=weights["v"],
    )  # fmt: skip
    return found[0]


@torch.no_grad()
def test_open_clips_resnet(tmp_path: Path):
    """RN50's layout, small: batch normalisation is folded into the convolutions."""
    state = open_clip_resnet()
    save_file(state, tmp_path / "open_clip_model.safetensors")
    words(tmp_path)
    vision = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 16, "head_width": 64}
    text = {"context_length": 9, "vocab_size": len(WORDS), "width": 32, "heads": 4, "layers": 1}
    config = {"embed_dim": 24, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    told = json.dumps({"model_cfg": config, "preprocess_cfg": {}})
    (tmp_path / "open_clip_config.json").write_text(told)
    encoder = load_any(tmp_path)
    images = odd_images(8)
    settings = encoder.module.config.preprocessing
    pixels = torch.from_numpy(np.stack([settings.pixels(image) for image in images]))
    expected = resnet_run(state, normalize(pixels, settings)).numpy()
    assert cosines(encoder.encode_images(images), expected).min() >= 0.99999
    encoder.save(tmp_path / "ours")
    assert export_towers(encoder, tmp_path / "ours").image_difference < 1e-5
