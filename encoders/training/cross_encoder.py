"""A cross-modal re-ranker: the tokens of a text attend to the patches of an image.

The fusion encoder of ALBEF (Li et al. 2021, section 3.1) over vectors of a dual encoder, so small
that it scores a hundred documents of a query on a CPU: blocks of attention of the tokens to each
other, to the patches, and an MLP, pre-norm. It starts as the dual encoder's own similarity, and
learns what to add to it. Shapes: N images, T tokens, P patches, D dimension of the joint space, W
width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.inference.reranker import RerankerManifest

__all__ = ["RerankerModule"]

START_SCALE = 10.0
FAR = -1e4  # added before a softmax; -inf would be NaN where everything is masked


class _Attention(nn.Module):
    """Attention of one sequence to another, of `heads`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, seen: Tensor, bias: Tensor) -> Tensor:
        """[N, T, W] and what it sees [N, S, W] to [N, T, W]; bias: [N, 1, 1, S]."""
        q = self._split(self.query(x))
        k, v = (self._split(x) for x in self.key_value(seen).split(seen.shape[-1], dim=-1))
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias).softmax(dim=-1)
        y: Tensor = self.out((weights @ v).transpose(1, 2).flatten(2))
        return y

    def _split(self, x: Tensor) -> Tensor:
        length, width = x.shape[1:]
        return x.view(-1, length, self.heads, width // self.heads).transpose(1, 2)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own, self.cross = _Attention(width, heads), _Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, patches: Tensor, own: Tensor, other: Tensor) -> Tensor:
        """Tokens [N, T, W] and patches [N, P, W] to tokens; own, other: biases of the two."""
        y = self.norms[0](x)
        x = x + self.drop(self.own(y, y, own))
        x = x + self.drop(self.cross(self.norms[1](x), patches, other))
        moved: Tensor = x + self.drop(self.mlp(self.norms[2](x)))
        return moved


class RerankerModule(nn.Module):
    """Tokens and patches of a dual encoder to one score for each pair."""

    def __init__(self, config: RerankerManifest, dropout: float = 0.0) -> None:
        super().__init__()
        width = config.width
        self.text, self.image = (nn.Linear(config.dimension, width) for _ in range(2))
        self.places = nn.Parameter(torch.randn(config.patches, width) * 0.02)
        self.order = nn.Parameter(torch.randn(config.tokens, width) * 0.02)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        blocks = (_Block(width, config.heads, dropout) for _ in range(config.layers))
        self.blocks = nn.ModuleList(blocks)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, 1)
        self.whole, self.late = (nn.Parameter(torch.tensor(START_SCALE)) for _ in range(2))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Tokens [N, T, D], or [1, T, D] of one text, and patches [N, P, D] to scores [N].

        Rows of 0 are none; the score of a pair without tokens or patches is 0.
        """
        tokens = tokens.expand(patches.shape[0], -1, -1)  # len() would fix N in the graph
        words, cells = (x.abs().sum(dim=-1) > 0 for x in (tokens, patches))  # [N, T], [N, P]
        # Of any length: patches are fed as 127 times themselves where a field holds int8.
        tokens, patches = (F.normalize(x, dim=-1) for x in (tokens, patches))
        own, other = ((~there)[:, None, None, :] * FAR for there in (words, cells))
        count = words.sum(dim=1).clamp(min=1)  # [N]
        likeness = tokens @ patches.transpose(1, 2) + (~cells)[:, None] * FAR  # [N, T, P]
        late = (likeness.amax(dim=2) * words).sum(dim=1) / count
        text, image = (F.normalize(x.sum(dim=1), dim=-1) for x in (tokens, patches))
        x = self.drop(self.norms[0](self.text(tokens) + self.order[: tokens.shape[1]]))
        seen = self.drop(self.norms[1](self.image(patches) + self.places))
        for block in self.blocks:
            x = block(x, seen, own, other)
        pooled = (self.norms[2](x) * words[..., None]).sum(dim=1) / count[:, None]
        score = self.head(pooled)[:, 0] + self.whole * (text * image).sum(dim=-1) + self.late * late
        there = words.any(dim=1) & cells.any(dim=1)
        return torch.where(there, score, torch.zeros_like(score))
