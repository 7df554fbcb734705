"""The names and shapes of weights, and the sentence that says where two sets of them differ. No torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vidsearch.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Shape = tuple[int, ...]
Keys = Mapping[str, Shape]
_SHOWN, _LONGEST = 3, 120  # keys, and reasons, that a message lists; letters of each


def shapes_of(tensors: Mapping[str, Tensor] | Mapping[str, NDArray[Any]]) -> dict[str, Shape]:
    """The shape of each tensor, under its name."""
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def compare(source: Keys, wanted: Keys, *, file: str, model: str) -> None:
    """ModelError, which lists the first keys at fault, unless the names and shapes of `source` are those `wanted`."""
    problems = [
        (key, source[key], f"expected shape {shape}")
        for key, shape in wanted.items()
        if source.get(key, shape) != shape
    ]
    problems += [(key, shape, "missing") for key, shape in wanted.items() if key not in source]
    problems += [(key, shape, "not of this network") for key, shape in source.items() if key not in wanted]
    if problems:
        raise ModelError(misfit(file, model, problems))


def misfit(file: str, model: str, problems: Sequence[tuple[str, Shape, str]]) -> str:
    """One sentence from (key, its shape, what is wrong with it) of each key at fault."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for key, shape, reason in problems:
        by_reason[reason].append(f"{key} {shape}")
    shown = [f"{reason}: {listed(keys)}" for reason, keys in list(by_reason.items())[:_SHOWN]]
    more = "; and more" if len(by_reason) > _SHOWN else ""
    return f"{file} does not fit {model}: {'; '.join(shown)}{more}; give the weights that were published for {model}"


def listed(names: Iterable[str]) -> str:
    """The first few names for a message, each on one line and of bounded length: they are other people's."""
    names = list(names)
    shown = [name[:_LONGEST] if name.isprintable() else repr(name[:_LONGEST]) for name in names[:_SHOWN]]
    more = len(names) - _SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
