"""The fields of a request, each checked as it is taken; what nobody took is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from vidsearch.serving.refusals import RefusedError, bad_request

MOST_SECONDS = 1e6  # eleven days: longer than any file
MOST_NUMBER = 2**53 - 1  # what JSON numbers of a browser hold exactly
_WHOLE = re.compile(r"-?[0-9]{1,16}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,16})?", re.ASCII)


class Fields:
    """Named values from a query string (texts) or a JSON object."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._left = dict(values)

    def done(self) -> None:
        """Refuses what was not asked for."""
        if self._left:
            raise bad_request(f"There is no field {next(iter(self._left))[:60]!r} here.")

    def text(self, name: str, *, most: int, default: str | None = None) -> str:
        """At most `most` characters, without NUL and surrogates."""
        value = self._take(name, default)
        if not isinstance(value, str) or len(value) > most:
            raise bad_request(f"{name} is a text of at most {most} characters.")
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise bad_request(f"{name} is not text.")
        return value

    def choice(self, name: str, *known: str, default: str | None = None) -> str:
        """One of the known words."""
        value = self._take(name, default)
        if not isinstance(value, str) or value not in known:
            raise bad_request(f"{name} is one of: {', '.join(known)}.")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """true or false."""
        value = self._take(name, default)
        if isinstance(value, str) and value in ("true", "false"):
            return value == "true"
        if not isinstance(value, bool):
            raise bad_request(f"{name} is true or false.")
        return value

    def whole(self, name: str, *, least: int, most: int, default: int | None = None) -> int:
        """A whole number from `least` to `most`."""
        value = self._take(name, default)
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise bad_request(f"{name} is a whole number from {least} to {most}.")
        return value

    def number(self, name: str, *, least: float, most: float, default: float | None = None) -> float:
        """A finite number from `least` to `most`."""
        value = self._take(name, default)
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _within(value, least, most):
            raise bad_request(f"{name} is a number from {least:g} to {most:g}.")
        return float(value)

    def has(self, name: str) -> bool:
        """Whether the field was given, and not as null."""
        return self._left.get(name) is not None

    def seconds(self, name: str, default: float | None = None) -> float:
        """A time within a video; a transport stream can begin before 0."""
        return self.number(name, least=-MOST_SECONDS, most=MOST_SECONDS, default=default)

    def video(self, name: str = "video") -> int:
        """The number of a video."""
        return self.whole(name, least=1, most=MOST_NUMBER)

    def span(self) -> tuple[float, float]:
        """start_s and end_s, in this order."""
        start_s, end_s = self.seconds("start_s"), self.seconds("end_s")
        if not start_s < end_s:
            raise bad_request("end_s lies after start_s.")
        return start_s, end_s

    def objects(self, name: str, *, most: int) -> list[Fields]:
        """From one to `most` JSON objects."""
        value = self._take(name, None)
        if not isinstance(value, list) or not 1 <= len(value) <= most or not all(isinstance(it, dict) for it in value):
            raise bad_request(f"{name} is a list of 1 to {most} objects.")
        return [Fields(item) for item in value]

    def _take(self, name: str, default: Any) -> Any:
        value = self._left.pop(name, None)
        if value is None and default is None:
            raise bad_request(f"The field {name} is missing.")
        return default if value is None else value


def query_fields(request: Request) -> Fields:
    """The fields of the query string. A field that is given twice is refused."""
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) < len(pairs):
        raise bad_request("A field is given twice.")
    return Fields(dict(pairs))


async def json_fields(request: Request) -> Fields:
    """The fields of a JSON object in the body; its size and slowness are bounded before (guard.py)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # what a form of another site cannot send
        raise RefusedError(415, "The body is application/json.")
    body = await request.body()
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise bad_request("The body is a JSON object.")
    return Fields(value)


def path_number(request: Request) -> int:
    """The {number} of the path."""
    text = request.path_params["number"]
    if not re.fullmatch(r"[1-9][0-9]{0,15}", text, re.ASCII) or int(text) > MOST_NUMBER:
        raise RefusedError(404, "There is no such video.")
    return int(text)


def _within(value: float, least: float, most: float) -> bool:
    try:
        return math.isfinite(value) and least <= value <= most
    except OverflowError:
        return False
