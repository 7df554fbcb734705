"""The blocks that the image encoder and the convolutional text encoder are made of, in their training form.

MobileCLIP (CVPR 2024, arXiv 2311.17049), after MobileOne and FastViT: several branches that `fold.py` sums into one
convolution. Attribute names are those of Apple's checkpoints. Shapes: (B, C, H, W); a text is a picture of one row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.mobileviclip.temporal import TemporalMixer

Kernel = tuple[int, int]


def same_padding(kernel: Kernel) -> Kernel:
    return kernel[0] // 2, kernel[1] // 2


class ConvNorm(nn.Module):
    """Convolution without bias, then batch norm: keys `conv.weight`, `bn.*`."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, same_padding(kernel), groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self._convolved(x))

    def _convolved(self, x: Tensor) -> Tensor:
        """A strided 1 × 1 convolution of all channels reads the pixels that it keeps, as one without a stride.

        The values are the same. Of its weight's gradient, torch 2.13 on a CPU with AVX2 (oneDNN) writes past the end
        if there are fewer than 8 input channels: `double free or corruption`, or a crash, in the stem.
        """
        conv = self.conv
        if conv.kernel_size != (1, 1) or conv.stride == (1, 1) or conv.groups > 1:
            return conv(x)
        rows, columns = conv.stride
        return F.conv2d(x[..., ::rows, ::columns], conv.weight)


class SqueezeExcite(nn.Module):
    """Channel gates of a MobileOne block, ratio 1/16: mean over H, W → reduce → ReLU → expand → sigmoid → times x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 16)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * self.expand(F.relu(self.reduce(pooled))).sigmoid()


class PatchSqueezeExcite(nn.Module):
    """The same gates in a downsampling step: ratio 1/4, and other names in the checkpoint."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 4)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * self.fc2(F.relu(self.fc1(pooled))).sigmoid()


class MobileOneBlock(nn.Module):
    """Up to three branches on one input, summed; then channel gates and GELU where asked for.

    skip: batch norm alone, where the shape stays; scale: 1 × 1 convolution, where the kernel's rows are more than 1
    (Apple's rule looks at the first side, so a (1, 11) kernel has none); conv: the k × k convolution itself.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Kernel,
        stride: int = 1,
        groups: int = 1,
        *,
        conv_branch: bool = True,
        gates: bool = False,
        activation: bool = True,
    ) -> None:
        super().__init__()
        self.rbr_skip = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None
        has_scale = conv_branch and kernel[0] > 1
        self.rbr_scale = ConvNorm(inputs, outputs, (1, 1), stride, groups) if has_scale else None
        convs = [ConvNorm(inputs, outputs, kernel, stride, groups)] if conv_branch else []
        self.rbr_conv = nn.ModuleList(convs)
        self.se = SqueezeExcite(outputs) if gates else nn.Identity()
        self.activation = nn.GELU() if activation else nn.Identity()
        self.kernel, self.stride, self.groups = kernel, stride, groups

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) → (B, out, H / stride, W / stride)."""
        branches = [branch for branch in (self.rbr_skip, self.rbr_scale, *self.rbr_conv) if branch is not None]
        total = branches[0](x)
        for branch in branches[1:]:
            total = total + branch(x)
        return self.activation(self.se(total))


class RepMixer(nn.Module):
    """Mixing of neighbours: x + layer_scale · (mixer(x) − norm(x)); a depthwise convolution once folded."""

    def __init__(self, channels: int, kernel: Kernel, layer_scale: float) -> None:
        super().__init__()
        self.norm = MobileOneBlock(channels, channels, kernel, groups=channels, conv_branch=False, activation=False)
        self.mixer = MobileOneBlock(channels, channels, kernel, groups=channels, activation=False)
        self.layer_scale = layer_scale_parameter(channels, layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer_scale.to(x.dtype) * (self.mixer(x) - self.norm(x))


class ConvFFN(nn.Module):
    """Depthwise convolution, batch norm, then the two layers of a feed-forward network at each position."""

    def __init__(self, channels: int, hidden: int, kernel: Kernel) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, channels, kernel, groups=channels)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.conv(x))))


class RepMixerBlock(nn.Module):
    """One block of the convolutional stages: (time), neighbours, channels.

    `temporal` mixes frames before the 2-d RepMixer (MobileViCLIP, "spatiotemporal RepMixer"); None in MobileCLIP.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        mixer_kernel: Kernel,
        ffn_kernel: Kernel,
        layer_scale: float,
        temporal: TemporalMixer | None = None,
    ) -> None:
        super().__init__()
        self.temporal = temporal
        self.token_mixer = RepMixer(channels, mixer_kernel, layer_scale)
        self.convffn = ConvFFN(channels, hidden, ffn_kernel)
        self.layer_scale = layer_scale_parameter(channels, layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), with time (B·T, C, H, W) → the same shape."""
        if self.temporal is not None:
            x = self.temporal(x)
        x = self.token_mixer(x)
        return x + self.layer_scale.to(x.dtype) * self.convffn(x)


def layer_scale_parameter(channels: int, value: float) -> nn.Parameter:
    """(C, 1, 1). Used in the activations' dtype: a float32 factor would turn a bfloat16 stream back into float32."""
    return nn.Parameter(torch.full((channels, 1, 1), value))
