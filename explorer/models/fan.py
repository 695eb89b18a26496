"""FAN, the paper's second backbone, in its ViT form: an architecture of ours, with the names of the released weights.

A block mixes tokens by softmax attention over the patches, without CLS, and channels by what stands in for an MLP:
`x + g_1 Attention(Norm(x))`, then `x + g_2 ChannelAttention(Norm(x))`. A convolutional stem makes the patches, Fourier
features say where they are, and two class-attention blocks read them at the end (Touvron et al. 2021). Zhou et al.
2022, "Understanding the robustness in vision transformers", https://arxiv.org/abs/2204.12451.

Written from the equations and the names and shapes of the weights; nothing here knows of operators or traces.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers import Mlp
from timm.models import generate_default_cfgs, register_model
from timm.models.cait import ClassAttn
from torch import Tensor, nn

from explorer.types import Size

FanPatches = Float[Tensor, "batch patch dim"]
FanTokens = Float[Tensor, "batch token dim"]
_PATCH = 16
_FREQUENCIES = 32
_EPS = 1e-6


class Stem(nn.Module):
    """Four convolutions of stride 2, each normalised over the batch, with GELU between them: patches of 16 pixels."""

    def __init__(self, img_size: Size, dim: int) -> None:
        super().__init__()
        widths = (3, dim // 8, dim // 4, dim // 2, dim)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers.append(nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after)))
            layers.append(nn.GELU())
        self.proj = nn.Sequential(*layers[:-1])
        self.set_input_size(img_size)

    def set_input_size(self, img_size: Size) -> None:
        self.img_size = img_size
        self.grid_size = img_size[0] // _PATCH, img_size[1] // _PATCH
        self.num_patches = self.grid_size[0] * self.grid_size[1]

    def feat_ratio(self) -> int:
        """Pixels on a patch's side, as timm's embeddings say it."""
        return _PATCH

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> FanPatches:
        stem: Tensor = self.proj(images)
        return stem.flatten(2).transpose(1, 2)


class FanPositions(nn.Module):
    """A linear layer on sines and cosines of a patch's row, then of its column; both go round once over the picture."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token_projection = nn.Conv2d(2 * _FREQUENCIES, dim, 1)

    def forward(self, grid: Size) -> Float[Tensor, "1 patch dim"]:
        weight = self.token_projection.weight
        rows, columns = (_waves(side).to(weight) for side in grid)  # (side, 32)
        both = torch.cat([rows[:, None].expand(-1, grid[1], -1), columns.expand(grid[0], -1, -1)], dim=-1)
        projected: Tensor = self.token_projection(both.permute(2, 0, 1)[None])
        return projected.flatten(2).transpose(1, 2)


def _waves(side: int) -> Float[Tensor, "side wave"]:
    """Sine and cosine in turn of `2 pi i / side` over 16 wavelengths up to 10000, in float64."""
    angle = torch.arange(1, side + 1, dtype=torch.float64) / (side + _EPS) * 2 * math.pi
    lengths = 10000.0 ** (torch.arange(0, _FREQUENCIES, 2, dtype=torch.float64) / _FREQUENCIES)
    scaled = angle[:, None] / lengths
    return torch.stack([scaled.sin(), scaled.cos()], dim=-1).flatten(1)


class TokenMixing(nn.Module):
    """Softmax attention over the patches."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.scale = self.head_dim**-0.5
        self.fused_attn = True
        self.q, self.kv = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.attn_drop, self.norm, self.proj_drop = nn.Dropout(0.0), nn.Identity(), nn.Identity()
        self.proj = nn.Linear(dim, dim)

    def queries_keys_values(self, x: FanPatches) -> tuple[Tensor, Tensor, Tensor]:
        """Of shape `[batch, head, patch, channel]` each."""
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (self.q(x), *self.kv(x).chunk(2, -1))
        )
        return q, k, v

    def forward(self, x: FanPatches, attn_mask: Tensor | None = None, is_causal: bool = False) -> FanPatches:
        u = F.scaled_dot_product_attention(*self.queries_keys_values(x), attn_mask=attn_mask, is_causal=is_causal)
        projected: Tensor = self.proj(u.transpose(1, 2).flatten(2))
        return projected


class DepthWise(nn.Module):
    """Two convolutions over the grid, channel by channel, with GELU and a norm between them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(dim, dim, 3, padding=1, groups=dim) for _ in range(2))
        self.bn = nn.BatchNorm2d(dim)

    def forward(self, x: FanPatches, grid: Size) -> FanPatches:
        laid: Tensor = self.conv2(self.bn(F.gelu(self.conv1(x.transpose(1, 2).unflatten(2, grid)))))
        return laid.flatten(2).transpose(1, 2)


class ConvolvedMlp(nn.Module):
    """`W_2 (h + g D(h))` with `h = W_1 x` and `D` the convolutions over the grid."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.dwconv = DepthWise(hidden)
        self.gamma = nn.Parameter(torch.ones(hidden))

    def forward(self, x: FanPatches, grid: Size) -> FanPatches:
        hidden = self.fc1(x)
        result: Tensor = self.fc2(hidden + self.gamma * self.dwconv(hidden, grid))
        return result


class ChannelAttention(nn.Module):
    """One weight a channel, `a = tau sigmoid(softmax_N(W_q x)^T mean_c softmax_N(x))` by head, on `Norm(MLP(x))`.

    The means are over the channels of a head. There is no matrix between patches in it.
    """

    def __init__(self, dim: int, num_heads: int, grid: Size) -> None:
        super().__init__()
        self.num_heads, self.grid = num_heads, grid
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.mlp_v, self.norm_v = ConvolvedMlp(dim, 4 * dim), nn.LayerNorm(dim)  # its eps is torch's own
        self.q = nn.Linear(dim, dim)

    def weights(self, x: FanPatches) -> Float[Tensor, "batch dim"]:
        """`a`, the heads joined."""
        q, k = (part.unflatten(-1, (self.num_heads, -1)).softmax(dim=1) for part in (self.q(x), x))  # (B, N, H, d)
        sums = torch.einsum("bnhc,bnh->bhc", q, k.mean(dim=-1))
        return (self.temperature[:, :, 0] * sums.sigmoid()).flatten(1)

    def forward(self, x: FanPatches) -> FanPatches:
        values: Tensor = self.norm_v(self.mlp_v(x, self.grid))
        return self.weights(x)[:, None] * values


class FanBlock(nn.Module):
    """`x + g_1 Attention(Norm(x))`, then `x + g_2 ChannelAttention(Norm(x))`."""

    def __init__(self, dim: int, num_heads: int, grid: Size) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=_EPS), nn.LayerNorm(dim, eps=_EPS)
        self.attn, self.mlp = TokenMixing(dim, num_heads), ChannelAttention(dim, num_heads, grid)
        self.gamma1, self.gamma2 = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.ones(dim))

    def forward(self, x: FanPatches) -> FanPatches:
        x = x + self.gamma1 * self.attn(self.norm1(x))
        mixed: Tensor = x + self.gamma2 * self.mlp(self.norm2(x))
        return mixed


class ClassBlock(nn.Module):
    """CLS attends to itself and the patches, which go on as they are normalised; an MLP of CLS alone follows.

    With `y = x + g_1 [Attention(n)_CLS, n_patches]`, `n = Norm(x)`, and `m = Norm(y)` it is `m + [g_2 MLP(m_CLS),
    m_patches]`.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=_EPS), nn.LayerNorm(dim, eps=_EPS)
        self.attn = ClassAttn(dim, num_heads=num_heads, qkv_bias=True)
        self.mlp = Mlp(dim, 4 * dim)
        self.gamma1, self.gamma2 = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.ones(dim))

    def attention(self, x: FanTokens) -> Float[Tensor, "batch head token"]:
        """What CLS attends to."""
        normed, attn = self.norm1(x), self.attn
        q, k = (
            layer(part).unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
            for layer, part in ((attn.q, normed[:, :1]), (attn.k, normed))
        )
        return torch.softmax(q * attn.scale @ k.mT, dim=-1)[:, :, 0]

    def forward(self, x: FanTokens) -> FanTokens:
        normed = self.norm1(x)
        x = x + self.gamma1 * torch.cat([self.attn(normed), normed[:, 1:]], dim=1)
        x = self.norm2(x)
        return x + torch.cat([self.gamma2 * self.mlp(x[:, :1]), x[:, 1:]], dim=1)


class Fan(nn.Module):
    """The whole model, with the attributes of timm's transformers that are used here; its tokens are patches alone."""

    num_prefix_tokens = 0
    global_pool = "map"

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        num_heads: int,
        num_classes: int = 1000,
        img_size: int | Size = 224,
    ) -> None:
        super().__init__()
        size = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.embed_dim = self.head_hidden_size = embed_dim
        self.num_classes = num_classes
        self.patch_embed, self.pos_embed = Stem(size, embed_dim), FanPositions(embed_dim)
        grid = self.patch_embed.grid_size
        self.blocks = nn.ModuleList(FanBlock(embed_dim, num_heads, grid) for _ in range(depth))
        self.joined = nn.Identity()  # the place where all blocks are behind
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, embed_dim))
        self.cls_attn_blocks = nn.ModuleList(ClassBlock(embed_dim, num_heads) for _ in range(2))
        self.norm = nn.LayerNorm(embed_dim, eps=_EPS)
        self.head = nn.Linear(embed_dim, num_classes) if num_classes else nn.Identity()

    def set_input_size(self, img_size: Size) -> None:
        """Positions are computed for any grid."""
        self.patch_embed.set_input_size(img_size)
        for block in self.blocks:
            block.mlp.grid = self.patch_embed.grid_size  # type: ignore[union-attr]

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> FanPatches:
        """FanPatches with their positions."""
        patches: Tensor = self.patch_embed(images) + self.pos_embed(self.patch_embed.grid_size)
        return patches

    def forward_features(self, images: Float[Tensor, "batch 3 height width"]) -> FanPatches:
        x = self.embed(images)
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.joined(x)
        return features

    def with_class_token(self, patches: FanPatches) -> FanTokens:
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)

    def class_attention(self, patches: FanPatches) -> Float[Tensor, "batch block head token"]:
        """What CLS attends to in the class-attention blocks: itself, then the patches."""
        x, maps = self.with_class_token(patches), []
        for block in self.cls_attn_blocks:
            maps.append(block.attention(x))  # type: ignore[operator]
            x = block(x)
        return torch.stack(maps, dim=1)

    def forward_head(self, patches: FanPatches, pre_logits: bool = False) -> Float[Tensor, "batch class"]:
        """Of the patches after the last block."""
        x = self.with_class_token(patches)
        for block in self.cls_attn_blocks:
            x = block(x)
        answer: Tensor = self.norm(x)[:, 0]
        return answer if pre_logits else self.head(answer)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch class"]:
        return self.forward_head(self.forward_features(images))


_CFG = {
    "input_size": (3, 224, 224),
    "num_classes": 1000,
    "crop_pct": 1.0,
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "first_conv": "patch_embed.proj.0.0",
    "classifier": "head",
}
default_cfgs = generate_default_cfgs({f"fan_{size}_p16_224": _CFG for size in ("tiny_12", "small_12", "base_18")})


def _fan(embed_dim: int, depth: int, num_heads: int, options: dict[str, Any]) -> Fan:
    of_timm = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")  # no weights come by name
    ours = {name: value for name, value in options.items() if name not in of_timm}
    return Fan(**{"embed_dim": embed_dim, "depth": depth, "num_heads": num_heads, **ours})


@register_model
def fan_tiny_12_p16_224(**options: Any) -> Fan:
    """FAN-T of the released `fan_vit_tiny`."""
    return _fan(192, 12, 4, options)


@register_model
def fan_small_12_p16_224(**options: Any) -> Fan:
    """FAN-S of `fan_vit_small`."""
    return _fan(384, 12, 8, options)


@register_model
def fan_base_18_p16_224(**options: Any) -> Fan:
    """FAN-B of `fan_vit_base`."""
    return _fan(448, 18, 8, options)
