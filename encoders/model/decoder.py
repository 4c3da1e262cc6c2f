"""A caption decoder: a causal transformer that reads the cells of an image tower.

Attention as in Vaswani et al. (2017), section 3.2, normalised before each part; the words' table is
the output's too (Press and Wolf 2017). Shapes: B images, P cells of F numbers, T tokens, W width,
V words, K beams.

A decoder is one safetensors file. Its metadata has settings, words and figures, and the fingerprint
of the encoder whose cells it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.base.errors import readable
from encoders.base.storage import sha256_bytes, write_whole
from encoders.model.architecture import EncoderError
from encoders.model.tokenizer import END_ID, START_ID

__all__ = ["CaptionDecoder", "Decoder", "DecoderConfig"]

LENGTH = 0.7  # a beam's log-probability is divided by its length to this power (Wu et al. 2016)

Past = tuple[Tensor, Tensor]  # keys and values of the tokens before, [B, heads, T, W / heads] each


@dataclass(frozen=True)
class DecoderConfig:
    """cells, features: P and F of the image tower. context: longest caption in tokens."""

    vocabulary: int
    cells: int
    features: int
    context: int = 64
    width: int = 128
    layers: int = 2
    heads: int = 4
    dropout: float = 0.2


class _Layer(nn.Module):
    """Attention to the tokens before, attention to the cells, an MLP."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query, self.read = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.across = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cells: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """[B, T, W] and cells [B, P, W] to [B, T, W]; with a past, T is 1."""
        q, k, v = map(self._split, self.qkv(self.norms[0](x)).chunk(3, dim=-1))
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        x = x + self.drop(self.out(self._join(found)))
        keys, values = map(self._split, self.read(cells).chunk(2, dim=-1))
        asked = self._split(self.query(self.norms[1](x)))
        found = F.scaled_dot_product_attention(asked, keys, values)
        x = x + self.drop(self.across(self._join(found)))
        x = x + self.drop(self.mlp(self.norms[2](x)))
        return x, (k, v)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    @staticmethod
    def _join(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


class CaptionDecoder(nn.Module):
    """Cells of an image to the words of a caption."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.tokens = nn.Embedding(config.vocabulary, width)
        self.positions = nn.Parameter(torch.randn(config.context, width) * 0.01)
        self.places = nn.Parameter(torch.randn(config.cells, width) * 0.01)
        self.see = nn.Sequential(nn.LayerNorm(config.features), nn.Linear(config.features, width))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, ids: Tensor, cells: Tensor) -> Tensor:
        """int64 [B, T] and cells [B, P, F] to logits of the next token [B, T, V]."""
        logits, _ = self._read(ids, self._seen(cells), [None] * len(self.layers))
        return logits

    @torch.inference_mode()
    def generate(self, cells: Tensor, beams: int = 1) -> list[list[list[int]]]:
        """Captions of each image as tokens, the best of the `beams` first; 1 beam is greedy."""
        count, device = len(cells), cells.device
        seen = self._seen(cells).repeat_interleave(beams, dim=0)  # [B K, P, W]
        ids = torch.full((count * beams, 1), START_ID, device=device)
        past: Sequence[Past | None] = [None] * len(self.layers)
        # Beams begin equal: only the first of each image may go on, else all stay equal.
        scores = torch.full((count, beams), -torch.inf, device=device)
        scores[:, 0] = 0.0
        ended = torch.zeros(count * beams, dtype=torch.bool, device=device)
        first = torch.arange(count, device=device)[:, None] * beams
        lengths = torch.zeros(count * beams, device=device)
        while ids.shape[1] < self.config.context and not bool(ended.all()):
            logits, past = self._read(ids if past[0] is None else ids[:, -1:], seen, past)
            likely = logits[:, -1].log_softmax(dim=-1)
            if ids.shape[1] == 1:
                likely[:, END_ID] = -torch.inf  # no caption is empty
            likely[ended] = -torch.inf
            likely[ended, END_ID] = 0.0
            total = (scores[..., None] + likely.view(count, beams, -1)).flatten(1)
            scores, best = total.topk(beams, dim=1)
            rows = (first + best // likely.shape[1]).flatten()
            words = (best % likely.shape[1]).flatten()
            ids = torch.cat([ids[rows], words[:, None]], dim=1)
            past = [(k[rows], v[rows]) for k, v in past if k is not None]
            lengths = lengths[rows] + ~ended[rows]
            ended = ended[rows] | (words == END_ID)
        value = scores / lengths.view(count, beams).clamp(min=1) ** LENGTH
        order = value.argsort(dim=1, descending=True)
        rows = (first + order).flatten()
        told = ids[rows, 1:].view(count, beams, -1).tolist()
        return [[_until_end(beam) for beam in image] for image in told]

    def _seen(self, cells: Tensor) -> Tensor:
        seen: Tensor = self.drop(self.see(cells.float()) + self.places)
        return seen

    def _read(
        self, ids: Tensor, cells: Tensor, past: Sequence[Past | None]
    ) -> tuple[Tensor, list[Past]]:
        before = 0 if past[0] is None else past[0][0].shape[2]
        x = self.drop(self.tokens(ids) + self.positions[before : before + ids.shape[1]])
        kept = []
        for layer, own in zip(self.layers, past, strict=True):
            x, after = layer(x, cells, own)
            kept.append(after)
        return F.linear(self.norm(x), self.tokens.weight), kept


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(END_ID)] if END_ID in tokens else tokens


@dataclass
class Decoder:
    """A trained decoder with its words.

    encoder: fingerprint of the encoder whose cells it reads. figures: of its training.
    """

    module: CaptionDecoder
    tokenizer: Tokenizer
    encoder: str
    figures: Mapping[str, object] = field(default_factory=dict)

    def captions(self, cells: Tensor, beams: int = 1) -> list[list[str]]:
        """Captions of images by their cells [B, P, F], the likeliest of the beams first."""
        found = self.module.eval().generate(cells, beams)
        return [[text.strip() for text in self.tokenizer.decode_batch(each)] for each in found]

    @property
    def fingerprint(self) -> str:
        """Of the weights, the words and the encoder."""
        words = self.tokenizer.to_str().encode()
        return sha256_bytes(save(self._state()) + words + self.encoder.encode())[:32]

    def _state(self) -> dict[str, Tensor]:
        return {n: v.cpu().contiguous() for n, v in self.module.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write the file whole."""
        told = {
            "fingerprint": self.fingerprint,
            "encoder": self.encoder,
            "settings": json.dumps(asdict(self.module.config)),
            "figures": json.dumps(dict(self.figures)),
            "tokenizer": self.tokenizer.to_str(),
        }
        write_whole(path, save(self._state(), told))

    @classmethod
    def load(cls, path: Path, encoder: str) -> Decoder:
        """Read a decoder of the encoder with this fingerprint.

        Raises EncoderError if it is missing, changed or of another encoder.
        """
        again = "Train it with `rocosearch train-decoder`."
        try:
            with readable(path, EncoderError), safe_open(path, framework="pt") as stream:
                told = stream.metadata()
                state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            module = CaptionDecoder(DecoderConfig(**json.loads(told["settings"])))
            module.load_state_dict(state)
            words = Tokenizer.from_str(told["tokenizer"])
            loaded = cls(module, words, told["encoder"], json.loads(told["figures"]))
            if loaded.fingerprint != told["fingerprint"]:
                raise ValueError("changed")
        except FileNotFoundError:
            raise EncoderError(f"There is no decoder {path}. {again}") from None
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError):
            raise EncoderError(f"{path} is no decoder, or was changed. {again}") from None
        if loaded.encoder != encoder:
            raise EncoderError(
                f"The decoder {path} reads encoder {loaded.encoder[:8]}, not {encoder[:8]}: name "
                "that encoder, or train a decoder for this one with `rocosearch train-decoder`."
            )
        return loaded
