"""What a hostile file holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Payload:
    """Runs a call when it is unpickled by a reader that lets it."""

    def __init__(self, call: Callable[..., Any], *arguments: object) -> None:
        self.call = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call
