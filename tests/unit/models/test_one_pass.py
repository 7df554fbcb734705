"""A convolution with what follows it in one pass gives what the plain operators give."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.mobileviclip.one_pass import (
    ConvGelu,
    DoublingConv,
    _one_pass_dtypes,
    conv_add,
    conv_gelu,
    is_doubling,
)

DTYPES = [torch.float32, torch.bfloat16]


def picture(channels: int, dtype: torch.dtype, *, channels_last: bool) -> Tensor:
    x = torch.randn(2, channels, 9, 7, generator=torch.Generator().manual_seed(channels)).to(dtype)
    return x.to(memory_format=torch.channels_last) if channels_last else x


def conv(inputs: int, outputs: int, kernel: int, dtype: torch.dtype, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    torch.manual_seed(0)
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups).to(dtype)
    return layer.requires_grad_(False)


def tolerance(dtype: torch.dtype) -> float:
    # One rounding instead of two: the two may differ by a unit in the last place of bfloat16, which has 8 bits.
    return 1e-5 if dtype == torch.float32 else 2**-7


@pytest.mark.parametrize("channels_last", [True, False], ids=["channels_last", "row-major"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gelu_and_residual_are_those_of_the_plain_operators(dtype: torch.dtype, channels_last: bool) -> None:
    x = picture(6, dtype, channels_last=channels_last)
    residual = picture(10, dtype, channels_last=channels_last)
    layer = conv(6, 10, 1, dtype)
    near = {"rtol": tolerance(dtype), "atol": tolerance(dtype)}
    torch.testing.assert_close(conv_gelu(layer, x), F.gelu(layer(x)), **near)
    torch.testing.assert_close(conv_add(layer, x, residual), residual + layer(x), **near)


def test_gelu_is_the_exact_one() -> None:
    x = torch.linspace(-4, 4, 2001)[None, None, None]
    layer = conv(1, 1, 1, torch.float32)
    layer.weight.fill_(1.0), layer.bias.fill_(0.0)
    apart = (conv_gelu(layer, x) - F.gelu(x)).abs().max()
    assert apart < 2e-6
    assert (F.gelu(x, approximate="tanh") - F.gelu(x)).abs().max() > 100 * apart


@pytest.mark.parametrize("gelu", [True, False], ids=["gelu", "plain"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_convolution_that_doubles_the_channels_keeps_their_order(dtype: torch.dtype, gelu: bool) -> None:
    layer = conv(6, 12, 3, dtype, stride=2, groups=6)
    assert is_doubling(layer)
    x = picture(6, dtype, channels_last=True)
    expected = F.gelu(layer(x)) if gelu else layer(x)
    got = DoublingConv(layer, gelu)(x)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, expected, rtol=tolerance(dtype), atol=tolerance(dtype))


@pytest.mark.parametrize("groups", [1, 2, 3], ids=["one group", "pairs", "trebling"])
def test_other_convolutions_are_not_taken_for_doubling(groups: int) -> None:
    assert not is_doubling(conv(6, 12, 3, torch.float32, groups=groups))
    assert not is_doubling(conv(6, 18, 3, torch.float32, groups=6))
    assert not is_doubling(conv(1, 2, 3, torch.float32))


def test_gradients_flow_where_they_are_wanted() -> None:
    x = picture(3, torch.float32, channels_last=True).requires_grad_()
    ConvGelu(conv(3, 4, 3, torch.float32))(x).sum().backward()
    assert x.grad is not None and bool(x.grad.abs().sum() > 0)


def test_this_build_of_torch_has_the_operators() -> None:
    # They are not part of torch's promised interface: where an update loses them, this says so and speed is lost.
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch was built without oneDNN")
    assert torch.float32 in _one_pass_dtypes()
