"""The kernels of a decode step against the same operations in torch: on CUDA, or in Triton's interpreter.

Where there is no GPU: `pip install triton`, then `TRITON_INTERPRET=1 python -m pytest` this file.
"""

from __future__ import annotations

import os

import pytest
import torch

CUDA = torch.cuda.is_available()
if not CUDA and not os.environ.get("TRITON_INTERPRET"):
    pytest.skip("no CUDA device; with triton installed, TRITON_INTERPRET=1 runs it here", allow_module_level=True)

from vidsearch.models.qwen2.config import LanguageModelConfig  # noqa: E402
from vidsearch.models.qwen2.step_kernels import KernelOperations  # noqa: E402
from vidsearch.models.qwen2.step_operations import TorchOperations  # noqa: E402

DEVICE = "cuda" if CUDA else "cpu"
CAPACITY = 90
CONFIG = LanguageModelConfig(
    vocab_size=50,
    hidden_size=96,
    intermediate_size=40,
    num_hidden_layers=1,
    num_attention_heads=6,
    num_key_value_heads=2,
    rope_theta=10000.0,
)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def drawn(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def both(dtype: torch.dtype) -> tuple[TorchOperations, KernelOperations]:
    like = torch.empty(1, device=DEVICE, dtype=dtype)
    return TorchOperations(CONFIG, CAPACITY, like), KernelOperations(CONFIG, CAPACITY, like)


def near(dtype: torch.dtype) -> dict[str, float]:
    # In bfloat16 the torch form rounds after each operation, and it has 8 bits.
    return {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2**-5, "atol": 2**-5}


@DTYPES
def test_products_with_norm_bias_and_residual(dtype: torch.dtype) -> None:
    plain, kernels = both(dtype)
    x, weight = drawn(1, 96, dtype=dtype), drawn(21, 96, dtype=dtype) / 10
    bias, norm, onto = drawn(21, dtype=dtype), 1 + drawn(96, dtype=dtype) / 10, drawn(1, 21, dtype=dtype)
    for extra in ({}, {"bias": bias}, {"norm": norm}, {"bias": bias, "norm": norm}):
        got = kernels.linear(x, weight, **extra)
        torch.testing.assert_close(got, plain.linear(x, weight, **extra), **near(dtype))
    got = kernels.add_linear(x, weight, onto)
    torch.testing.assert_close(got, plain.add_linear(x, weight, onto), **near(dtype))


@DTYPES
def test_gates(dtype: torch.dtype) -> None:
    plain, kernels = both(dtype)
    x, weight, norm = drawn(1, 96, dtype=dtype), drawn(74, 96, dtype=dtype) / 10, 1 + drawn(96, dtype=dtype) / 10
    torch.testing.assert_close(kernels.gated(x, weight, norm), plain.gated(x, weight, norm), **near(dtype))


@DTYPES
@pytest.mark.parametrize("place", [0, 31, 32, 77, CAPACITY - 1])
def test_attention_sees_the_positions_up_to_its_own(dtype: torch.dtype, place: int) -> None:
    if dtype == torch.bfloat16 and not CUDA:
        pytest.skip("Triton's interpreter multiplies matrices of bfloat16 as if they were integers")
    plain, kernels = both(dtype)
    states = drawn(1, 10 * 16, dtype=dtype)
    memory = drawn(2, 1, 2, CAPACITY, 16, dtype=dtype)
    beside = memory.clone()
    position = torch.tensor([place], device=DEVICE)
    expected = plain.attend(states, memory, position)
    torch.testing.assert_close(kernels.attend(states, beside, position), expected, **near(dtype))
    torch.testing.assert_close(beside, memory, **near(dtype))  # both wrote the new keys and values, and nothing else
