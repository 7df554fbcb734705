"""Tensors written one by one are read back by the library that everybody reads them with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.stream_save import save_streamed


def as_it_is(key: str, tensor: Tensor) -> torch.dtype:
    return tensor.dtype


def test_what_was_written_is_read_back_bit_by_bit(tmp_path: Path) -> None:
    tensors = {
        "half": torch.randn(3, 5).half(),
        "brain": torch.randn(7).bfloat16(),
        "whole": torch.randn(2, 3, 4),
        "turned": torch.randn(4, 6).T,
        "a letter beyond ASCII: ä": torch.randn(1),
        "one number": torch.tensor(2.5),
        "nothing": torch.zeros(0, 3),
    }
    save_streamed(tensors, tmp_path / "file.safetensors", as_it_is, file_of=Path)
    read = load_file(tmp_path / "file.safetensors")
    assert set(read) == set(tensors)
    for key, tensor in tensors.items():
        assert read[key].dtype == tensor.dtype and torch.equal(read[key], tensor), key


def test_tensors_are_aligned_so_that_they_can_stay_mapped(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3).half(), "b": torch.randn(5), "c": torch.randn(1).half(), "d": torch.randn(3)}
    save_streamed(tensors, tmp_path / "file.safetensors", as_it_is, file_of=Path)
    for key, tensor in load_file(tmp_path / "file.safetensors").items():
        assert tensor.data_ptr() % tensor.element_size() == 0, key
    with safe_open(tmp_path / "file.safetensors", framework="pt") as file:
        assert list(file.offset_keys()) == ["b", "d", "a", "c"]


def test_each_tensor_is_cast_to_what_is_asked_for(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(8, dtype=torch.float64), "b": torch.randn(8)}
    save_streamed(
        tensors,
        tmp_path / "file.safetensors",
        lambda key, _: torch.float16 if key == "b" else torch.float32,
        file_of=Path,
    )
    read = load_file(tmp_path / "file.safetensors")
    assert torch.equal(read["a"], tensors["a"].float())
    assert torch.equal(read["b"], tensors["b"].half())


@pytest.mark.parametrize(
    ("value", "dtype", "words"),
    [
        (float("nan"), torch.float32, "here/net.pt is damaged: net.weight has values that are not finite"),
        (float("inf"), torch.float16, "here/net.pt is damaged: net.weight has values that are not finite"),
        (1e5, torch.float16, "net.weight of here/net.pt has values that float16 cannot hold; store the model as"),
    ],
)
def test_values_that_are_no_numbers_or_too_large_are_refused(
    value: float, dtype: torch.dtype, words: str, tmp_path: Path
) -> None:
    tensors = {"net.bias": torch.zeros(3), "net.weight": torch.tensor([0.0, value])}
    with pytest.raises(ModelError, match=words):
        save_streamed(tensors, tmp_path / "file.safetensors", lambda *_: dtype, file_of=lambda _: Path("here/net.pt"))
