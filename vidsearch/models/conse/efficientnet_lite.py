"""EfficientNet-Lite2: pictures → scores of 1,000 classes.

EfficientNet (Tan and Le, ICML 2019, table 1 and section 4: width × 1.1, depth × 1.2). The Lite variants leave out the
squeeze-and-excitation branch, use ReLU6 instead of swish, and keep the stem, the first and last stage's depth and the
head as they are in B0. Attribute names are those of the published checkpoint.

Axis letters: N pictures, C channels, h and w rows and columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (blocks, kernel, stride of the first block, expansion, channels): table 1, scaled
_STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
_STEM_CHANNELS = 32
# So many of the first blocks stay in float32 where the rest is rounded to bfloat16: what is rounded in the pixels and
# in the few channels after them is most of the error (docs/models.md, by `benchmarks/rounding.py`).
EXACT_BLOCKS = 2
FEATURES = 1280
CLASSES = 1000
_BATCH_NORM_EPS = 1e-3


class EfficientNetLite2(nn.Module):
    """The whole network; `side_px` is 260 in the published one, and any side works."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, _STEM_CHANNELS, 3, stride=2, bias=False)
        self._bn0 = _batch_norm(_STEM_CHANNELS)
        self._blocks = nn.ModuleList(_blocks())
        self._conv_head = nn.Conv2d(_STAGES[-1][-1], FEATURES, 1, bias=False)
        self._bn1 = _batch_norm(FEATURES)
        self._fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, h, w) float32, pixels as (value − 127) / 128 → logits (N, 1000), in the precision of `_fc`."""
        x = F.relu6(self._bn0(self._conv_stem(pictures)))  # (N, 32, h/2, w/2)
        for number, block in enumerate(self._blocks):
            x = block(x.to(self._fc.weight.dtype) if number == EXACT_BLOCKS else x)  # the last: (N, 352, h/32, w/32)
        x = F.relu6(self._bn1(self._conv_head(x)))  # (N, 1280, h/32, w/32)
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits

    def round_(self, dtype: torch.dtype) -> None:
        """All weights to `dtype` but those of the stem and of the first `EXACT_BLOCKS` blocks."""
        for module in (self._blocks[EXACT_BLOCKS:], self._conv_head, self._bn1, self._fc):
            module.to(dtype)


class MBConv(nn.Module):
    """The mobile inverted bottleneck (MobileNetV2, section 3.3) without squeeze-and-excitation."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(channels_in, inner, 1, bias=False)
            self._bn0 = _batch_norm(inner)
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride=stride, groups=inner, bias=False)
        self._bn1 = _batch_norm(inner)
        self._project_conv = nn.Conv2d(inner, channels, 1, bias=False)
        self._bn2 = _batch_norm(channels)
        self._expands = expansion > 1
        self._adds = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, channels, h/stride, w/stride), rounded up."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self._adds else y


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": h → ⌈h / stride⌉; an odd margin is larger below and to the right."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, C', ⌈h / stride⌉, ⌈w / stride⌉)."""
        top, left = (self._margin(size) // 2 for size in x.shape[-2:])
        bottom, right = self._margin(x.shape[-2]) - top, self._margin(x.shape[-1]) - left
        padded = F.pad(x, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)

    def _margin(self, size: int) -> int:
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def fold_batch_norms_(network: EfficientNetLite2) -> None:
    """Fold each batch norm into the convolution before it, in place: the same function with a third fewer operators."""
    _fold(network, "_conv_stem", "_bn0")
    _fold(network, "_conv_head", "_bn1")
    for block in network._blocks:
        for conv, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
            if hasattr(block, conv):
                _fold(block, conv, norm)


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    fused = nn.utils.fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm))
    setattr(module, conv, fused)
    setattr(module, norm, nn.Identity())


def _blocks() -> list[MBConv]:
    blocks, channels_in = [], _STEM_CHANNELS
    for count, kernel, first_stride, expansion, channels in _STAGES:
        for number in range(count):
            blocks.append(MBConv(channels_in, channels, kernel, 1 if number else first_stride, expansion))
            channels_in = channels
    return blocks


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPS)
