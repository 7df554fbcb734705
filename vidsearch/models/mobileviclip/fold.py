"""Training form → inference form, exactly: the branches of each block summed into one convolution.

MobileCLIP's re-parameterisation (arXiv 2311.17049; the names are those of Apple's own fold) and that of MobileViCLIP's
temporal parts (arXiv 2508.07312), which needs a bias for each frame: there batch norm stands before the zero padding,
so what pads is not zero to the folded kernel. Arithmetic is in float64, results have the weights' dtype. What this form
still leaves apart is folded by `fuse.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.mobileviclip.blocks import ConvNorm, MobileOneBlock, RepMixer
from vidsearch.models.mobileviclip.image_encoder import LargeKernelPatch, PositionEncoding
from vidsearch.models.mobileviclip.temporal import TemporalMixer, add_temporal_embedding, shifted_sum

Folded = tuple[Tensor, Tensor]  # kernel and bias, float64


class FoldedMobileOne(nn.Module):
    """A MobileOne block as one convolution, then its channel gates and GELU."""

    def __init__(self, conv: nn.Conv2d, se: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.reparam_conv = conv
        self.se = se
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.se(self.reparam_conv(x)))


class FoldedRepMixer(nn.Module):
    """The 2-d RepMixer as one depthwise convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.reparam_conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return self.reparam_conv(x)


class FoldedPatch(nn.Module):
    """The large-kernel downsampling step as one convolution, then its channel gates and GELU."""

    def __init__(self, conv: nn.Conv2d, se: nn.Module) -> None:
        super().__init__()
        self.lkb_reparam = conv
        self.se = se

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.se(self.lkb_reparam(x)))


class FrameBiasConv(nn.Module):
    """Depthwise convolution, padded to keep the size, whose bias is (T, C): one row for each frame of a clip."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape."""
        y = F.conv2d(x, self.weight, padding="same", groups=x.shape[1])
        return add_temporal_embedding(y, self.bias[None])


class FoldedPositionEncoding(nn.Module):
    """Position and temporal encoding as one convolution.

    A TPE after the convolution became its bias table (T, C). One before it would become a map (T, C, H, W), for one
    picture size only; added to the input it costs the same and suits every size: (I + pe)(x + TPE).
    """

    def __init__(self, conv: nn.Conv2d | FrameBiasConv, embedding_before: nn.Parameter | None) -> None:
        super().__init__()
        self.reparam_conv = conv
        self.temporal_embedding = embedding_before

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape."""
        if self.temporal_embedding is not None:
            x = add_temporal_embedding(x, self.temporal_embedding)
        return self.reparam_conv(x)


class TemporalConv(nn.Module):
    """Depthwise convolution along T with zero padding: weight (C, 1, k), bias (T, C)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape."""
        return shifted_sum(x, self.weight, self.bias[:, :, None, None], frames=len(self.bias))


class FoldedTemporalMixer(nn.Module):
    """X' = DWConv1D'(X): the residual and the batch norm are in the kernel and in the bias table."""

    def __init__(self, conv: TemporalConv) -> None:
        super().__init__()
        self.reparam_conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return self.reparam_conv(x)


def reparameterize_(network: nn.Module) -> None:
    """Replace, in place, every block that has branches by its folded form; a folded network stays as it is."""
    for name, child in network.named_children():
        fold = _FOLDS.get(type(child))
        if fold is None:
            reparameterize_(child)
        else:
            setattr(network, name, fold(child))


def fold_mobileone(block: MobileOneBlock) -> FoldedMobileOne:
    kernel, bias = mobileone_kernel(block)
    reference = next(block.parameters())
    conv = convolution(kernel, bias, reference, block.stride, block.groups)
    return FoldedMobileOne(conv, block.se, block.activation)


def fold_repmixer(mixer: RepMixer) -> FoldedRepMixer:
    """x + ls · (mixer(x) − norm(x)) → kernel I + ls · (W_mixer − W_norm), bias ls · (b_mixer − b_norm)."""
    mixed, mixed_bias = mobileone_kernel(mixer.mixer)
    normed, normed_bias = mobileone_kernel(mixer.norm)
    scale = mixer.layer_scale.double()  # (C, 1, 1)
    identity = identity_kernel(mixer.mixer.groups, 1, mixer.mixer.kernel, scale.device)
    kernel = identity + scale[..., None] * (mixed - normed)
    bias = scale[:, 0, 0] * (mixed_bias - normed_bias)
    return FoldedRepMixer(convolution(kernel, bias, mixer.layer_scale, 1, mixer.mixer.groups))


def fold_patch(patch: LargeKernelPatch) -> FoldedPatch:
    large, large_bias = conv_norm_kernel(patch.lkb_origin)
    small, small_bias = conv_norm_kernel(patch.small_conv)
    conv = patch.lkb_origin.conv
    kernel = large + pad_kernel(small, (large.shape[2], large.shape[3]))
    return FoldedPatch(convolution(kernel, large_bias + small_bias, conv.weight, 2, conv.groups), patch.se)


def fold_position_encoding(encoding: PositionEncoding) -> FoldedPositionEncoding:
    """x + pe(x) → kernel I + W_pe; a TPE after it goes into the bias: b_pe + TPE, (T, C)."""
    pe = encoding.pe
    assert pe.bias is not None  # built with one
    size = (pe.weight.shape[2], pe.weight.shape[3])
    kernel = pe.weight.double() + identity_kernel(pe.groups, 1, size, pe.weight.device)
    bias = pe.bias.double()
    if encoding.temporal_embedding is None or encoding.tpe == "before":
        conv = convolution(kernel, bias, pe.weight, 1, pe.groups)
        return FoldedPositionEncoding(conv, encoding.temporal_embedding)
    table = bias + encoding.temporal_embedding[0].double()
    return FoldedPositionEncoding(FrameBiasConv(kernel.to(pe.weight), table.to(pe.weight)), None)


def fold_temporal(mixer: TemporalMixer) -> FoldedTemporalMixer:
    kernel, bias = temporal_kernel(mixer)
    return FoldedTemporalMixer(TemporalConv(kernel.to(mixer.conv.weight), bias.to(mixer.conv.weight)))


_FOLDS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    MobileOneBlock: fold_mobileone,
    RepMixer: fold_repmixer,
    LargeKernelPatch: fold_patch,
    PositionEncoding: fold_position_encoding,
    TemporalMixer: fold_temporal,
}


def norm_scale_shift(norm: nn.BatchNorm2d) -> Folded:
    """Batch norm with its running statistics is x ↦ scale · x + shift; both (C), float64."""
    assert norm.running_mean is not None and norm.running_var is not None  # ours always keep statistics
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def conv_norm_kernel(branch: ConvNorm) -> Folded:
    """Convolution without bias, then batch norm."""
    scale, shift = norm_scale_shift(branch.bn)
    return branch.conv.weight.double() * scale[:, None, None, None], shift


def mobileone_kernel(block: MobileOneBlock) -> Folded:
    """The sum of a block's branches as one kernel (out, in / groups, kh, kw) and one bias (out).

    Zero padding is harmless here: in each branch the convolution comes first, or batch norm acts at one point.
    """
    branches = [conv_norm_kernel(branch) for branch in block.rbr_conv if isinstance(branch, ConvNorm)]
    if block.rbr_scale is not None:
        kernel, bias = conv_norm_kernel(block.rbr_scale)
        branches.append((pad_kernel(kernel, block.kernel), bias))
    if block.rbr_skip is not None:
        scale, shift = norm_scale_shift(block.rbr_skip)
        channels = len(scale)
        identity = identity_kernel(channels, channels // block.groups, block.kernel, scale.device)
        branches.append((identity * scale[:, None, None, None], shift))
    return sum_of([kernel for kernel, _ in branches]), sum_of([bias for _, bias in branches])


def sum_of(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum(0)


def pad_kernel(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """A smaller kernel in the middle of a larger one."""
    rows, columns = (size[0] - kernel.shape[2]) // 2, (size[1] - kernel.shape[3]) // 2
    return F.pad(kernel, (columns, columns, rows, rows))


def identity_kernel(channels: int, group_width: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """The convolution that changes nothing: (C, C / groups, kh, kw), 1 at [i, i mod (C / groups), middle], float64."""
    kernel = torch.zeros(channels, group_width, *size, dtype=torch.float64, device=device)
    index = torch.arange(channels, device=device)
    kernel[index, index % group_width, size[0] // 2, size[1] // 2] = 1
    return kernel


def convolution(kernel: Tensor, bias: Tensor, like: Tensor, stride: int, groups: int) -> nn.Conv2d:
    """A convolution of that kernel and bias, padded to keep the size, in the dtype and on the device of `like`."""
    outputs, group_width, rows, columns = kernel.shape
    with init_empty_weights():  # there is no use for weights of its own
        conv = nn.Conv2d(
            group_width * groups,
            outputs,
            (rows, columns),
            stride=stride,
            padding=(rows // 2, columns // 2),
            groups=groups,
        )
    conv.weight = nn.Parameter(kernel.detach().to(like, copy=True).contiguous())
    conv.bias = nn.Parameter(bias.detach().to(like, copy=True).contiguous())
    return conv


def temporal_kernel(mixer: TemporalMixer) -> Folded:
    """X + conv(BN(X)) along T as one kernel (C, 1, k) and a bias table (T, C), float64.

    With BN x ↦ s·x + d, taps w_j and the convolution's bias c:

        X'[t] = X[t] + c + Σ_{j: 0 ≤ t+j < T} w_j · (s·X[t+j] + d)
              = Σ_j w'_j · X[t+j] + b'[t],    w'_j = s·w_j (+ 1 for j = 0),    b'[t] = c + d · Σ_{j: 0 ≤ t+j < T} w_j

    so the first and last k // 2 frames have a bias of their own; one bias for all of them would be wrong.
    """
    scale, shift = norm_scale_shift(mixer.norm)
    taps = mixer.conv.weight[:, 0].double()  # (C, k)
    kernel = taps * scale[:, None]
    kernel[:, taps.shape[1] // 2] += 1
    bias = shift * taps_inside(taps, mixer.frames)
    if mixer.conv.bias is not None:
        bias = bias + mixer.conv.bias.double()
    return kernel[:, None], bias


def taps_inside(taps: Tensor, frames: int) -> Tensor:
    """(C, k) → (T, C): for each frame, the sum of the taps that fall on a frame of the clip."""
    ones = torch.ones(1, 1, frames, dtype=taps.dtype, device=taps.device)
    return F.conv1d(ones, taps[:, None], padding=taps.shape[1] // 2)[0].T
