"""What is wrong with a written query, and where."""

from __future__ import annotations

from vidsearch.errors import VidsearchError


class QueryMistake(VidsearchError):  # noqa: N818 - a mistake of the person, told as such
    """A query that cannot be understood. `text` is what was written; `start` to `end`: the place, in characters."""

    def __init__(self, message: str, text: str, start: int = 0, end: int | None = None) -> None:
        super().__init__(message)
        self.text = text
        self.start = start
        self.end = len(text) if end is None else end

    def within(self, text: str, offset: int) -> QueryMistake:
        """The same mistake in a longer text, of which this one begins at `offset`."""
        return QueryMistake(str(self), text, self.start + offset, self.end + offset)

    @property
    def parts(self) -> tuple[str, str, str]:
        """The text before the place, at it and behind it."""
        return self.text[: self.start], self.text[self.start : self.end], self.text[self.end :]

    @property
    def caret(self) -> str:
        """A line to stand under `text`: spaces up to the place, a caret for each column of it."""
        before, at, _ = self.parts
        return " " * _columns(before) + "^" * max(1, _columns(at))


def _columns(text: str) -> int:
    """How much room a terminal gives to a text."""
    import unicodedata  # late: only a mistake needs it

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
