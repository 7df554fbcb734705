"""A safetensors file → tensors, memory-mapped; tensors → a network.

safetensors is imported late: training builds networks on machines that have numpy and torch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from vidsearch.errors import ModelError
from vidsearch.models.keys import compare, shapes_of


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, memory-mapped. ModelError for a file that cannot be read, is damaged or cut short."""
    from safetensors.torch import load_file

    return _read(path, lambda: load_file(path))


def read_some(path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Some tensors of a file, mapped on their own: when they are let go of, so is the memory they were read into.

    ModelError for a file that cannot be read, is damaged, or has no tensor of such a name.
    """
    from safetensors import safe_open

    def read() -> dict[str, Tensor]:
        with safe_open(path, framework="pt") as tensors:
            return {name: tensors.get_tensor(name) for name in names}

    return _read(path, read)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], *, file: str, model: str) -> None:
    """Make `tensors` the network's own, floating ones as float32. ModelError unless names and shapes are its own."""
    compare(shapes_of(tensors), shapes_of(network.state_dict()), file=file, model=model)
    own = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    network.load_state_dict(own, strict=True, assign=True)


def _read(path: Path, read: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `read` gives; the errors of the library as ModelError."""
    from safetensors import SafetensorError

    try:
        return read()
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"the weight file {path} cannot be read ({reason}); check the path") from error
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is damaged or cut short ({error}); get or install it again") from error
