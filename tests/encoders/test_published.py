from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from encoders.model.clip import Encoder, EncoderError
from encoders.published.towers import load_any, load_any as load_published

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 300
CONTEXT = 20
TEXTS = ["chest x-ray, frontal", "CT of the abdomen", "knee " * 40, ""]


def clip_like_tokenizer() -> Tokenizer:
    """Byte-level BPE whose special tokens have the highest ids, as in OpenAI's vocabulary."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.add_special_tokens([START, END])
    ids = [(token, tokenizer.token_to_id(token)) for token in (END, START)]
    tokenizer.post_processor = processors.RobertaProcessing(*ids)
    return tokenizer


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CLIPModel, Tokenizer]:
    """A small random CLIP in the published layout."""
    folder = tmp_path_factory.mktemp("published")
    tokenizer = clip_like_tokenizer()
    ids = {"bos_token_id": tokenizer.token_to_id(START), "eos_token_id": tokenizer.token_to_id(END)}
    shape = {"num_hidden_layers": 2, "num_attention_heads": 4, "projection_dim": 24}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(
            text_config={
                "hidden_size": 32,
                "intermediate_size": 128,
                "vocab_size": tokenizer.get_vocab_size(),
                "max_position_embeddings": CONTEXT,
                **shape,
                **ids,
            },
            vision_config={
                "hidden_size": 48,
                "intermediate_size": 192,
                "image_size": 32,
                "patch_size": 8,
                **shape,
            },
            projection_dim=24,
        )
    ).eval()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]})
    )
    return folder, model, tokenizer


def features(output: object) -> np.ndarray:
    tensor = output if isinstance(output, torch.Tensor) else output.pooler_output  # type: ignore[attr-defined]
    return torch.nn.functional.normalize(tensor, dim=-1).numpy()


@torch.no_grad()
def test_texts_have_the_published_models_vectors(
    published: tuple[Path, CLIPModel, Tokenizer],
) -> None:
    folder, model, tokenizer = published
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(END))
    rows = tokenizer.encode_batch(TEXTS)
    expected = model.get_text_features(
        input_ids=torch.tensor([row.ids for row in rows]),
        attention_mask=torch.tensor([row.attention_mask for row in rows]),
    )
    ours = load_published(folder).encode_texts(TEXTS)
    np.testing.assert_allclose(ours, features(expected), atol=1e-5)


@torch.no_grad()
def test_images_have_the_published_models_vectors(
    published: tuple[Path, CLIPModel, Tokenizer],
) -> None:
    folder, model, _ = published
    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 255, (*side, 3), dtype=np.uint8))
        for side in ((50, 70), (91, 40), (32, 32))
    ]
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.3, 0.4],
    )
    expected = model.get_image_features(**processor(images, return_tensors="pt"))
    ours = load_published(folder).encode_images(images)
    np.testing.assert_allclose(ours, features(expected), atol=1e-5)


def test_the_folder_of_sentence_transformers_is_read_too(
    published: tuple[Path, CLIPModel, Tokenizer], tmp_path: Path
) -> None:
    folder, _, _ = published
    shutil.copytree(folder, tmp_path / "clip-ViT-B-32" / "0_CLIPModel")

    encoder = load_any(tmp_path / "clip-ViT-B-32")
    assert encoder.manifest == load_published(folder).manifest


def test_saved_as_ours_it_stays_the_same(
    published: tuple[Path, CLIPModel, Tokenizer], tmp_path: Path
) -> None:
    encoder = load_published(published[0])
    encoder.save(tmp_path / "ours")
    assert load_any(tmp_path / "ours").manifest == encoder.manifest
    assert isinstance(load_any(tmp_path / "ours"), Encoder)


def test_what_is_no_clip_is_told(
    published: tuple[Path, CLIPModel, Tokenizer], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(published[0], copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="safetensors"):
        load_published(copy)
    (copy / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EncoderError, match="only the text tower"):
        load_published(copy)
