"""The transformers of a CLIP, for texts and for images, up to the projection.

Written from the papers: CLIP (Radford et al. 2021, section 2.4), ViT (Dosovitskiy et al. 2021,
equations 1-4), attention (Vaswani et al. 2017). The convolutional towers are in resnet.py.
Shapes: B inputs of a batch, T tokens, P patches, W width, D dimension of the joint space, C
channels, S side of the image in pixels. Every tower ends in a linear projection to the joint
space and does not normalise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

__all__ = [
    "Activation",
    "Block",
    "TextConfig",
    "TextTower",
    "ViT",
    "ViTConfig",
    "attend",
    "mean_pool",
]

Activation = Literal["gelu", "quick_gelu"]


@dataclass(frozen=True)
class TextConfig:
    """A text transformer: CLIP's own has causal attention and reads the end token's state.

    context: longest text in tokens, the special ones included. `pooling` "mean" averages the
    states of all tokens, "eos" takes the first end token's.
    """

    vocabulary: int
    context: int = 64
    width: int = 64
    layers: int = 1
    heads: int = 4
    causal: bool = False
    pooling: Literal["mean", "eos"] = "mean"
    activation: Activation = "gelu"
    eos_id: int = 2


@dataclass(frozen=True)
class ViTConfig:
    """A pre-norm vision transformer with a class token.

    `input_norm` is CLIP's extra layer norm before the first block, `patch_bias` and `pooler`
    (a dense layer with tanh on the class token) belong to the original ViT.
    """

    patch: int = 16
    width: int = 192
    layers: int = 6
    heads: int = 3
    activation: Activation = "gelu"
    input_norm: bool = True
    patch_bias: bool = False
    pooler: bool = False
    kind: Literal["vit"] = "vit"


def _activate(x: Tensor, activation: Activation) -> Tensor:
    # OpenAI's released CLIP weights were trained with the sigmoid approximation of GELU.
    return x * torch.sigmoid(1.702 * x) if activation == "quick_gelu" else F.gelu(x)


class Block(nn.Module):
    """A pre-norm transformer block: attention, then an MLP four times as wide."""

    def __init__(self, width: int, heads: int, activation: Activation) -> None:
        super().__init__()
        self.heads = heads
        self.activation: Activation = activation
        self.norm_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, W] to [B, T, W]; `mask` is bool, broadcast to [B, heads, T, T], true = seen."""
        x = x + self.out(attend(self.qkv(self.norm_1(x)), self.heads, mask))
        hidden = _activate(self.up(self.norm_2(x)), self.activation)
        y: Tensor = x + self.down(hidden)
        return y


def attend(qkv: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """Attention of queries, keys and values side by side [B, T, 3 W] to [B, T, W]."""
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    split = qkv.view(batch, tokens, 3, heads, width // heads)
    q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, T, W / heads]
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return attended.transpose(1, 2).reshape(batch, tokens, width)


def mean_pool(states: Tensor, attention_mask: Tensor) -> Tensor:
    """States [B, T, W] and a mask [B, T] to the mean over the tokens [B, W]."""
    weights = attention_mask.to(states.dtype)[..., None]  # [B, T, 1]
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def _initialise(blocks: nn.ModuleList, width: int) -> None:
    """Scale the residual branches' ends with depth (CLIP, section 2.4, after GPT-2)."""
    depth = (2 * len(blocks)) ** -0.5
    for block in blocks:
        if not isinstance(block, Block):
            continue
        nn.init.normal_(block.qkv.weight, std=width**-0.5)
        nn.init.normal_(block.out.weight, std=width**-0.5 * depth)
        nn.init.normal_(block.up.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(block.down.weight, std=width**-0.5 * depth)
        for layer in (block.qkv, block.out, block.up, block.down):
            nn.init.zeros_(layer.bias)


class TextTower(nn.Module):
    """Token ids to a vector of the joint space, not normalised."""

    def __init__(self, config: TextConfig, dimension: int) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Parameter(torch.empty(config.context, config.width))
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.activation) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.projection = nn.Linear(config.width, dimension, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        _initialise(self.blocks, config.width)
        nn.init.normal_(self.projection.weight, std=config.width**-0.5)

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice (mask: 1 = token, 0 = padding) to the last states [B, T, W]."""
        length = input_ids.shape[1]
        x = self.tokens(input_ids) + self.positions[:length]
        mask = attention_mask.bool()[:, None, None, :]  # [B, 1, 1, T]
        if self.config.causal:
            order = torch.arange(length, device=input_ids.device)
            mask = mask & (order[None, :] <= order[:, None])  # [B, 1, T, T]
        for block in self.blocks:
            x = block(x, mask)
        states: Tensor = self.norm(x)
        return states

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice to pooled states [B, W]: all but the projection; T <= context."""
        states = self.states(input_ids, attention_mask)
        if self.config.pooling == "mean":
            return mean_pool(states, attention_mask)
        first = (input_ids == self.config.eos_id).int().argmax(dim=1)  # [B]
        return states[torch.arange(states.shape[0], device=states.device), first]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice to float [B, D], not normalised; T <= context."""
        projected: Tensor = self.projection(self.features(input_ids, attention_mask))
        return projected


class ViT(nn.Module):
    """An image to a vector of the joint space, not normalised.

    With `dimension` None there is no projection, and the class token's state is the output.
    """

    def __init__(
        self, config: ViTConfig, channels: int, image_size: int, dimension: int | None
    ) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patches = nn.Conv2d(
            channels, width, config.patch, stride=config.patch, bias=config.patch_bias
        )
        self.class_token = nn.Parameter(torch.empty(width))
        count = (image_size // config.patch) ** 2
        self.positions = nn.Parameter(torch.empty(count + 1, width))
        self.input_norm = nn.LayerNorm(width) if config.input_norm else nn.Identity()
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.activation) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.pooler = nn.Sequential(nn.Linear(width, width), nn.Tanh()) if config.pooler else None
        self.projection = None
        if dimension is not None:
            self.projection = nn.Linear(width, dimension, bias=False)
            nn.init.normal_(self.projection.weight, std=width**-0.5)
        nn.init.normal_(self.class_token, std=width**-0.5)
        nn.init.normal_(self.positions, std=width**-0.5)
        _initialise(self.blocks, width)

    def states(self, pixels: Tensor) -> Tensor:
        """[B, C, S, S] to the states of the class token and the patches [B, 1 + P, W]."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2)  # [B, P, W]
        first = self.class_token.expand(patches.shape[0], 1, -1)
        x = self.input_norm(torch.cat([first, patches], dim=1) + self.positions)
        for block in self.blocks:
            x = block(x)
        states: Tensor = x
        return states

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to float [B, W]: all but the projection."""
        pooled: Tensor = self.norm(self.states(pixels)[:, 0])
        return pooled if self.pooler is None else self.pooler(pooled)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to float [B, D]."""
        features = self.features(pixels)
        return features if self.projection is None else self.projection(features)
