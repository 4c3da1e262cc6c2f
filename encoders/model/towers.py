"""CLIP's transformers for texts and images, up to the projection.

Written from the papers: CLIP (Radford et al. 2021, section 2.4), ViT (Dosovitskiy et al. 2021,
equations 1-4), attention (Vaswani et al. 2017), attention pooling as in SigLIP (Zhai et al.
2023), layer scale (Touvron et al. 2021) and registers (Darcet et al. 2024) as in DINOv2. The
convolutional towers are in resnet.py.
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
    "PATCH_GRID",
    "Activation",
    "AttentionPool",
    "Block",
    "GridTower",
    "TextConfig",
    "TextTower",
    "ViT",
    "ViTConfig",
    "attend",
    "mean_pool",
    "project_cells",
    "split_heads",
]

PATCH_GRID = 4  # patches of an image on a side, where they are pooled

Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]


@dataclass(frozen=True)
class TextConfig:
    """A text transformer: CLIP's own has causal attention and reads the end token's state.

    context: longest text in tokens, the special ones included. `pooling` "mean" averages the
    states of all tokens, "eos" takes the first end token's, "last" the last one's of a text that
    is always padded to `context` with `pad_id`, which counts as a token (SigLIP). hidden: width
    of the MLPs, four times `width` where 0. bias: whether the projection has one.
    """

    vocabulary: int
    context: int = 64
    width: int = 64
    layers: int = 1
    heads: int = 4
    causal: bool = False
    pooling: Literal["mean", "eos", "last"] = "mean"
    activation: Activation = "gelu"
    eos_id: int = 2
    hidden: int = 0
    epsilon: float = 1e-5
    bias: bool = False
    pad_id: int = 0


@dataclass(frozen=True)
class ViTConfig:
    """A pre-norm vision transformer with a class token.

    `input_norm` is CLIP's extra layer norm before the first block, `patch_bias` and `pooler`
    (a dense layer with tanh on the class token) belong to the original ViT. SigLIP has no class
    token, pools by attention and projects nothing (`projected`); DINOv2 has registers and layer
    scale. hidden: width of the MLPs, four times `width` where 0.
    """

    patch: int = 16
    width: int = 192
    layers: int = 6
    heads: int = 3
    activation: Activation = "gelu"
    input_norm: bool = True
    patch_bias: bool = False
    pooler: bool = False
    hidden: int = 0
    epsilon: float = 1e-5
    registers: int = 0
    layer_scale: bool = False
    pooling: Literal["class", "attention"] = "class"
    projected: bool = True
    kind: Literal["vit"] = "vit"


def _activate(x: Tensor, activation: Activation) -> Tensor:
    # OpenAI's released CLIP weights were trained with the sigmoid approximation of GELU.
    if activation == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if activation == "gelu_tanh" else "none")


class Block(nn.Module):
    """A pre-norm transformer block: attention, then an MLP, four times as wide if not told."""

    def __init__(self, config: TextConfig | ViTConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.hidden or 4 * config.width
        self.heads = config.heads
        self.activation: Activation = config.activation
        self.norm_1 = nn.LayerNorm(width, config.epsilon)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width, config.epsilon)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.scale_1 = self.scale_2 = None
        if isinstance(config, ViTConfig) and config.layer_scale:
            self.scale_1, self.scale_2 = (nn.Parameter(torch.ones(width)) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, W] to [B, T, W]; `mask` is bool, broadcast to [B, heads, T, T], true = seen."""
        seen = self.out(attend(self.qkv(self.norm_1(x)), self.heads, mask))
        x = x + (seen if self.scale_1 is None else self.scale_1 * seen)
        thought = self.down(_activate(self.up(self.norm_2(x)), self.activation))
        y: Tensor = x + (thought if self.scale_2 is None else self.scale_2 * thought)
        return y


class AttentionPool(nn.Module):
    """States to one vector: what a learned query finds in them, and an MLP (SigLIP)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.activation = config.heads, config.activation
        self.query = nn.Parameter(torch.randn(width) * width**-0.5)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, config.epsilon)
        self.up = nn.Linear(width, config.hidden or 4 * width)
        self.down = nn.Linear(config.hidden or 4 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        """[B, T, W] to [B, W]."""
        batch, _, width = states.shape
        one = self.query.expand(batch, 1, width)
        q, k, v = (
            split_heads(F.linear(x, self.qkv.weight[rows], self.qkv.bias[rows]), self.heads)
            for x, rows in (
                (one, slice(width)),
                (states, slice(width, 2 * width)),
                (states, slice(2 * width, None)),
            )
        )
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, width)
        x = self.out(found)
        y: Tensor = x + self.down(_activate(self.up(self.norm(x)), self.activation))
        return y


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, T, W] to [B, heads, T, W / heads]."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def attend(qkv: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """Attention of queries, keys and values side by side [B, T, 3 W] to [B, T, W]."""
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    split = qkv.view(batch, tokens, 3, heads, width // heads)
    q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, T, W / heads]
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return attended.transpose(1, 2).reshape(batch, tokens, width)


def project_cells(cells: Tensor, weight: Tensor, grid: int) -> Tensor:
    """A feature map [B, W, s, s] to cells in the joint space [B, P, D], row by row.

    weight: of a tower's projection, [D, W * grid * grid]: what each cell adds to the image's
    vector. Where it is the same for all cells (grid 1), there are PATCH_GRID x PATCH_GRID.
    """
    pooled = F.adaptive_avg_pool2d(cells, grid if grid > 1 else PATCH_GRID).flatten(2)  # [B, W, P]
    if grid == 1:
        return pooled.transpose(1, 2) @ weight.T
    return torch.einsum("bwp,dwp->bpd", pooled, weight.view(len(weight), -1, grid**2))


class GridTower(nn.Module):
    """An image tower whose last feature map is averaged to grid x grid cells, then projected."""

    grid: int
    projection: nn.Linear

    def cells(self, pixels: Tensor) -> Tensor:
        """[B, C, S, S] to the last feature map [B, W, s, s]."""
        raise NotImplementedError

    def pooled(self, cells: Tensor) -> Tensor:
        """What `cells` gave to the averaged cells side by side, float [B, grid * grid * W]."""
        if cells.shape[-1] != self.grid:
            cells = F.adaptive_avg_pool2d(cells, self.grid)
        return cells.flatten(1)

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to float [B, grid * grid * W]: all but the projection."""
        return self.pooled(self.cells(pixels))

    def patch_features(self, cells: Tensor) -> Tensor:
        """What `cells` gave to each cell in the joint space [B, P, D], row by row."""
        return project_cells(cells, self.projection.weight, self.grid)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to float [B, D]."""
        projected: Tensor = self.projection(self.features(pixels))
        return projected


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
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, config.epsilon)
        self.projection = nn.Linear(config.width, dimension, bias=config.bias)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        _initialise(self.blocks, config.width)
        nn.init.normal_(self.projection.weight, std=config.width**-0.5)

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice (mask: 1 = token, 0 = padding) to the last states [B, T, W]."""
        if self.config.pooling == "last":
            input_ids = self._padded(input_ids, attention_mask)
            attention_mask = torch.ones_like(input_ids)
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

    def _padded(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[B, T] to [B, context]: a pad token wherever there is no other."""
        pad = torch.full_like(input_ids[:, :1], self.config.pad_id)
        told = torch.where(attention_mask.bool(), input_ids, pad)
        whole = torch.cat([told, pad.expand(-1, self.config.context)], dim=1)
        return whole[:, : self.config.context]

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, T] twice to pooled states [B, W]: all but the projection; T <= context."""
        return self.pooled(self.states(input_ids, attention_mask), input_ids, attention_mask)

    def pooled(self, states: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """States [B, T, W] of these tokens to pooled states [B, W]."""
        if self.config.pooling == "last":
            return states[:, -1]
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

    With `dimension` None there is no projection, and the pooled state is the output.
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
        self.class_token = self.registers = self.pool = None
        if config.pooling == "class":
            self.class_token = nn.Parameter(torch.randn(width) * width**-0.5)
        else:
            self.pool = AttentionPool(config)
        if config.registers:
            self.registers = nn.Parameter(torch.randn(config.registers, width) * width**-0.5)
        count = (image_size // config.patch) ** 2 + (self.class_token is not None)
        self.positions = nn.Parameter(torch.randn(count, width) * width**-0.5)
        self.input_norm: nn.Module = nn.Identity()
        if config.input_norm:
            self.input_norm = nn.LayerNorm(width, config.epsilon)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width, config.epsilon)
        self.pooler = nn.Sequential(nn.Linear(width, width), nn.Tanh()) if config.pooler else None
        self.projection: nn.Module = nn.Identity()
        if dimension is not None and config.projected:
            self.projection = nn.Linear(width, dimension, bias=False)
            nn.init.normal_(self.projection.weight, std=width**-0.5)
        _initialise(self.blocks, width)

    def states(self, pixels: Tensor) -> Tensor:
        """[B, C, S, S] to the states of class token, registers and patches [B, 1 + R + P, W]."""
        x: Tensor = self.patches(pixels).flatten(2).transpose(1, 2)  # [B, P, W]
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1)
        x = self.input_norm(x + self.positions)
        if self.registers is not None:
            x = torch.cat([x[:, :1], self.registers.expand(x.shape[0], -1, -1), x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        return x

    @property
    def before_patches(self) -> int:
        """How many of the states are no patch's."""
        return (self.class_token is not None) + self.config.registers

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to float [B, W]: all but the projection."""
        return self.pooled(self.states(pixels))

    def pooled(self, states: Tensor) -> Tensor:
        """What `states` gave to float [B, W]."""
        if self.pool is not None:
            pooled: Tensor = self.pool(self.norm(states))
            return pooled
        pooled = self.norm(states[:, 0])
        return pooled if self.pooler is None else self.pooler(pooled)

    def cells(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to the patches' states as a map [B, W, s, s]."""
        states = self.norm(self.states(pixels)[:, self.before_patches :])
        side = round(states.shape[1] ** 0.5)
        found: Tensor = states.transpose(1, 2).reshape(len(states), -1, side, side)
        return found

    def patch_features(self, states: Tensor) -> Tensor | None:
        """What `states` gave to each patch in the joint space [B, P, D], row by row.

        None if attention pools the patches: then the joint space is not theirs.
        """
        if self.pool is not None:
            return None
        projected: Tensor = self.projection(self.norm(states[:, self.before_patches :]))
        return projected

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised float [B, C, S, S] to float [B, D]."""
        projected: Tensor = self.projection(self.features(pixels))
        return projected
