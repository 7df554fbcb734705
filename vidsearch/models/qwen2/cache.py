"""The keys and values of the positions before: what a decoder keeps so that each token is computed once.

Axes: B sequences, H key-value heads, L new positions, K positions in the cache with the new ones, h head width.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Cache(Protocol):
    """What a decoder needs of a cache."""

    length: int  # positions held

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]: ...

    def advance(self, positions: int) -> None: ...


class KeyValueCache:
    """Keys and values of every layer; memory doubles when it is full. `capacity`: positions it has memory for at first.

    One sequence can be cropped to a prefix: a prompt's beginning is kept for the next question.
    """

    def __init__(self, layers: int, capacity: int = 0) -> None:
        self._capacity = capacity
        self._memory: list[Tensor | None] = [None] * layers  # of each layer (2, B, H, capacity, h)
        self.length = 0

    @property
    def memory(self) -> list[Tensor]:
        """Of each layer (2, B, H, capacity, h), keys and values. Raises ValueError before the first `update`."""
        if any(memory is None for memory in self._memory):
            raise ValueError("the cache has no memory yet: it holds no position")
        return [memory for memory in self._memory if memory is not None]

    def reserve(self, positions: int) -> None:
        """Have memory for at least so many positions, of a cache that holds some."""
        for layer, memory in enumerate(self.memory):
            if memory.shape[3] < positions:
                self._memory[layer] = self._grown(memory, memory[0], positions)

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, L, h) new ones of one layer → (B, H, K, h) all of them; `advance` counts them when every layer has."""
        count = keys.shape[2]
        end = self.length + count
        memory = self._memory[layer]
        if memory is None or memory.shape[3] < end:
            memory = self._memory[layer] = self._grown(memory, keys, end)
        fresh, known = memory.narrow(3, self.length, count), memory.narrow(3, 0, end)
        fresh[0].copy_(keys)
        fresh[1].copy_(values)
        return known[0], known[1]

    def advance(self, positions: int) -> None:
        """Count positions that every layer has stored."""
        self.length += positions

    def crop(self, length: int) -> None:
        """Forget the positions from `length` on. Raises ValueError if the cache holds fewer."""
        if not 0 <= length <= self.length:
            raise ValueError(f"the cache holds {self.length} positions, not {length}")
        self.length = length

    def _grown(self, memory: Tensor | None, keys: Tensor, needed: int) -> Tensor:
        if memory is None:
            return keys.new_empty(2, *keys.shape[:2], max(needed, self._capacity), keys.shape[3])
        grown = memory.new_empty(*memory.shape[:3], max(needed, 2 * memory.shape[3]), memory.shape[4])
        grown[:, :, :, : self.length] = memory[:, :, :, : self.length]
        return grown
