"""BERT as a text tower.

Written from the paper (Devlin et al. 2019; post-norm blocks of Vaswani et al. 2017). Shapes: B
inputs of a batch, T tokens, W width, D dimension of the joint space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.model.towers import attend, mean_pool

__all__ = ["BertConfig", "BertTower"]


@dataclass(frozen=True)
class BertConfig:
    """A BERT: learned positions, blocks that normalise after adding.

    context: longest text in tokens, the special ones included. hidden: width of the MLPs.
    pooling: "mean" averages the states of all tokens, "cls" takes the first one's. mlp: width of
    a layer with gelu in the projection (BiomedCLIP), 0: it is linear.
    """

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    hidden: int
    epsilon: float = 1e-12
    pooling: Literal["mean", "cls"] = "mean"
    mlp: int = 0
    kind: Literal["bert"] = "bert"


class BertTower(nn.Module):
    """Token ids to a vector of the joint space, not normalised.

    `bert` is the published part, `projection` is trained from scratch: freezing "text.bert" locks
    the first.
    """

    def __init__(self, config: BertConfig, dimension: int) -> None:
        super().__init__()
        self.config = config
        self.bert = Bert(config)
        self.projection = _projection(config.width, config.mlp, dimension)

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice to pooled states [B, W]: all but the projection; T <= context."""
        return self.pooled(self.states(input_ids, attention_mask), input_ids, attention_mask)

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice to the last states [B, T, W]."""
        states: Tensor = self.bert(input_ids, attention_mask)
        return states

    def pooled(self, states: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """States [B, T, W] of these tokens to pooled states [B, W]."""
        return states[:, 0] if self.config.pooling == "cls" else mean_pool(states, attention_mask)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice to float [B, D], not normalised; T <= context."""
        projected: Tensor = self.projection(self.features(input_ids, attention_mask))
        return projected


class _Mlp(nn.Sequential):
    """Two linear maps without bias, gelu between them."""

    def __init__(self, width: int, inner: int, dimension: int) -> None:
        up, down = nn.Linear(width, inner, bias=False), nn.Linear(inner, dimension, bias=False)
        super().__init__(up, nn.GELU(), down)
        self.in_features = width


def _projection(width: int, inner: int, dimension: int) -> nn.Linear | _Mlp:
    if inner:
        return _Mlp(width, inner, dimension)
    projection = nn.Linear(width, dimension, bias=False)
    nn.init.normal_(projection.weight, std=width**-0.5)
    return projection


class Bert(nn.Module):
    """Token ids to the last states. The one token type in use is part of the positions."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Parameter(torch.empty(config.context, config.width))
        self.input_norm = nn.LayerNorm(config.width, config.epsilon)
        self.blocks = nn.ModuleList(BertBlock(config) for _ in range(config.layers))
        for weights in (self.tokens.weight, self.positions):
            nn.init.normal_(weights, std=0.02)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice (mask: 1 = token, 0 = padding) to states [B, T, W]."""
        x: Tensor = self.input_norm(self.tokens(input_ids) + self.positions[: input_ids.shape[1]])
        mask = attention_mask.bool()[:, None, None, :]  # [B, 1, 1, T]
        for block in self.blocks:
            x = block(x, mask)
        return x


class BertBlock(nn.Module):
    """Attention, then an MLP; the sum with the input is normalised after each."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm_1 = nn.LayerNorm(config.width, config.epsilon)
        self.up = nn.Linear(config.width, config.hidden)
        self.down = nn.Linear(config.hidden, config.width)
        self.norm_2 = nn.LayerNorm(config.width, config.epsilon)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, T, W] to [B, T, W]; `mask` is bool [B, 1, 1, T], true = seen."""
        x = self.norm_1(x + self.out(attend(self.qkv(x), self.heads, mask)))
        y: Tensor = self.norm_2(x + self.down(F.gelu(self.up(x))))
        return y
