"""The layers of the export form: what every converter understands, with all sizes as plain integers.

No tensor has more than four axes, nothing is written in place, no size is read while it runs, attention is spelled out.
A converter that meets anything else makes scatters of it, leaves operators outside a phone's accelerator, or fails.
Axis letters as in `config.py`; of one clip the frames are the batch axis, (T, C, H, W).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Temporal = Literal["shifted", "convolution"]
Size = tuple[int, int]


class Gates(nn.Module):
    """Channel gates: mean over H and W → reduce → ReLU → expand → sigmoid → times x."""

    def __init__(self, reduce: nn.Conv2d, expand: nn.Conv2d) -> None:
        super().__init__()
        self.reduce, self.expand = reduce, expand

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True)))))


class SplitConv(nn.Module):
    """A convolution in which each channel feeds two, as two depthwise ones: all first outputs, then all second ones."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """(T, C, H, W) → (T, 2C, H', W')."""
        return torch.cat((self.first(x), self.second(x)), 1)


class ConvGelu(nn.Module):
    """A convolution, channel gates where there are any, GELU."""

    def __init__(self, conv: nn.Conv2d | SplitConv, gates: Gates | None = None) -> None:
        super().__init__()
        self.conv, self.gates = conv, gates

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.gelu(x if self.gates is None else self.gates(x))


class ConvFeedForward(nn.Module):
    """x + fc2(gelu(fc1(conv(x)))): the folded ConvFFN with its residual."""

    def __init__(self, conv: nn.Conv2d, fc1: nn.Conv2d, fc2: nn.Conv2d) -> None:
        super().__init__()
        self.conv, self.fc1, self.fc2 = conv, fc1, fc2

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(F.gelu(self.fc1(self.conv(x))))


class ShiftedTemporal(nn.Module):
    """The depthwise convolution along T as scaled copies, shifted in time and added; a bias for each frame."""

    def __init__(self, weight: Tensor, table: Tensor, size: Size) -> None:
        """Kernel (C, 1, k) and bias table (T, C)."""
        super().__init__()
        self.frames, self.channels = table.shape
        self.size, self.radius = size, weight.shape[2] // 2
        self.taps = nn.ParameterList([tap.reshape(1, -1, 1, 1).clone() for tap in weight[:, 0].unbind(1)])
        self.table = nn.Parameter(table[:, :, None, None].clone())  # (T, C, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(T, C, H, W) → the same shape."""
        total = x * self.taps[self.radius] + self.table
        for shift in range(1, min(self.radius, self.frames - 1) + 1):
            before = F.pad(x[: self.frames - shift], (0, 0, 0, 0, 0, 0, shift, 0))
            after = F.pad(x[shift:], (0, 0, 0, 0, 0, 0, 0, shift))
            total = total + before * self.taps[self.radius - shift] + after * self.taps[self.radius + shift]
        return total


class ConvolvedTemporal(nn.Module):
    """The same as a (k, 1) depthwise convolution over the clip as one picture of T rows and H·W columns.

    Where channels are last in memory the picture is a view of the clip.
    """

    def __init__(self, weight: Tensor, table: Tensor, size: Size) -> None:
        """Kernel (C, 1, k) and bias table (T, C)."""
        super().__init__()
        self.frames, self.channels = table.shape
        self.size = size
        self.radius = weight.shape[2] // 2
        self.weight = nn.Parameter(weight[..., None].clone())  # (C, 1, k, 1)
        self.table = nn.Parameter(table.T[None, :, :, None].clone())  # (1, C, T, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(T, C, H, W) → the same shape."""
        height, width = self.size
        clip = x.permute(0, 2, 3, 1).reshape(1, self.frames, height * width, self.channels).permute(0, 3, 1, 2)
        mixed = F.conv2d(clip, self.weight, padding=(self.radius, 0), groups=self.channels) + self.table
        return mixed.permute(0, 2, 3, 1).reshape(self.frames, height, width, self.channels).permute(0, 3, 1, 2)


class FrameTable(nn.Module):
    """A vector added to every position of frame t, (T, C, H, W) → the same shape, in either of the two ways."""

    def __init__(self, table: Tensor, size: Size, way: Temporal) -> None:
        super().__init__()
        self.frames, self.channels = table.shape
        self.size, self.way = size, way
        shown = table[:, :, None, None] if way == "shifted" else table.T[None, :, :, None]
        self.table = nn.Parameter(shown.clone())  # (T, C, 1, 1) or (1, C, T, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "shifted":
            return x + self.table
        height, width = self.size
        clip = x.permute(0, 2, 3, 1).reshape(1, self.frames, height * width, self.channels).permute(0, 3, 1, 2)
        added = (clip + self.table).permute(0, 2, 3, 1)
        return added.reshape(self.frames, height, width, self.channels).permute(0, 3, 1, 2)


class SpelledAttention(nn.Module):
    """Multi-head self-attention over (groups, N, C) tokens as three linear layers and two products; q is scaled."""

    def __init__(
        self, q: nn.Linear, k: nn.Linear, v: nn.Linear, proj: nn.Linear, heads: int, groups: int, tokens: int
    ) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj = q, k, v, proj
        self.heads, self.groups, self.tokens = heads, groups, tokens
        self.channels = q.in_features

    def forward(self, x: Tensor) -> Tensor:
        """(groups, N, C) → the same shape."""
        depth = self.channels // self.heads
        apart = (self.groups, self.tokens, self.heads, depth)
        rows = (self.groups * self.heads, self.tokens, depth)
        q = self.q(x).reshape(apart).permute(0, 2, 1, 3).reshape(rows)
        k = self.k(x).reshape(apart).permute(0, 2, 3, 1).reshape(rows[0], depth, self.tokens)
        v = self.v(x).reshape(apart).permute(0, 2, 1, 3).reshape(rows)
        mixed = torch.bmm(torch.softmax(torch.bmm(q, k), -1), v).reshape(self.groups, self.heads, self.tokens, depth)
        return self.proj(mixed.permute(0, 2, 1, 3).reshape(self.groups, self.tokens, self.channels))


class PictureAttention(nn.Module):
    """x + attention over the positions of one frame, or over those of all frames of the clip."""

    def __init__(self, attention: SpelledAttention, frames: int, size: Size) -> None:
        super().__init__()
        self.attention = attention
        self.frames, self.size = frames, size

    def forward(self, x: Tensor) -> Tensor:
        """(T, C, H, W) → the same shape."""
        height, width = self.size
        groups, tokens, channels = self.attention.groups, self.attention.tokens, self.attention.channels
        mixed = self.attention(x.permute(0, 2, 3, 1).reshape(groups, tokens, channels))
        return x + mixed.reshape(self.frames, height, width, channels).permute(0, 3, 1, 2)


class UnitLength(nn.Module):
    """(1, E) → the same divided by its length, as a product: a sum over the last axis would leave the accelerator."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        row = x.reshape(1, 1, self.width)
        return (row * torch.rsqrt(torch.bmm(row, row.reshape(1, self.width, 1)))).reshape(1, self.width)


class ClipHead(nn.Module):
    """One mean over T, H and W, which comes before the linear map since both are linear; unit length."""

    def __init__(self, proj: nn.Linear, frames: int, size: Size) -> None:
        super().__init__()
        self.proj, self.unit = proj, UnitLength(proj.out_features)
        self.frames, self.size = frames, size

    def forward(self, x: Tensor) -> Tensor:
        """(T, C, H, W) → (1, E)."""
        channels, (height, width) = self.proj.in_features, self.size
        clip = x.permute(1, 0, 2, 3).reshape(1, channels, self.frames * height, width)
        return self.unit(self.proj(clip.mean((2, 3), keepdim=True).reshape(1, channels)))


class WordTable(nn.Module):
    """The word's row of the table and the position's: (1, L) int32 rows → (1, L, W)."""

    def __init__(self, words: nn.Embedding, positions: Tensor) -> None:
        super().__init__()
        self.words = words
        self.positions = nn.Parameter(positions.clone())  # (1, L, W)

    def forward(self, ids: Tensor) -> Tensor:
        return self.words(ids) + self.positions


class TokenConv(nn.Module):
    """A convolution block over tokens, the text as a picture of one row: (1, L, W) → the same shape."""

    def __init__(self, token_mixer: nn.Conv2d, convffn: ConvFeedForward, tokens: int) -> None:
        super().__init__()
        self.token_mixer, self.convffn = token_mixer, convffn
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        width = self.token_mixer.in_channels
        picture = x.permute(0, 2, 1).reshape(1, width, 1, self.tokens)
        return self.convffn(self.token_mixer(picture)).reshape(1, width, self.tokens).permute(0, 2, 1)


class TokenLayer(nn.Module):
    """A pre-norm transformer layer: (1, L, W) → the same shape."""

    def __init__(
        self, norm_1: nn.LayerNorm, attention: SpelledAttention, norm_2: nn.LayerNorm, fc1: nn.Linear, fc2: nn.Linear
    ) -> None:
        super().__init__()
        self.norm_1, self.attention, self.norm_2, self.fc1, self.fc2 = norm_1, attention, norm_2, fc1, fc2

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm_2(x))))


class TextHead(nn.Module):
    """The token that `end` (1, 1, L) marks with a 1, through one linear map; unit length."""

    def __init__(self, norm: nn.LayerNorm, proj: nn.Linear) -> None:
        super().__init__()
        self.norm, self.proj, self.unit = norm, proj, UnitLength(proj.out_features)

    def forward(self, x: Tensor, end: Tensor) -> Tensor:
        """(1, L, W), (1, 1, L) → (1, E)."""
        return self.unit(self.proj(torch.bmm(end, self.norm(x)).reshape(1, self.proj.in_features)))
