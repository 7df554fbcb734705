"""Patterns that leave files out, with the meaning that git gives to a `.gitignore` (gitignore(5), git's wildmatch.c).

Names are compared as bytes, as git does: `?` is one byte, and a name that is not UTF-8 can be written too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

UTF8_BOM = b"\xef\xbb\xbf"

# In the C locale, as in git.
_CLASSES = {
    b"alnum": rb"[0-9A-Za-z]",
    b"alpha": rb"[A-Za-z]",
    b"blank": rb"[ \t]",
    b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]",
    b"graph": rb"[!-~]",
    b"lower": rb"[a-z]",
    b"print": rb"[ -~]",
    b"punct": rb"[!-/:-@\[-`{-~]",
    b"space": rb"[ \t-\r]",
    b"upper": rb"[A-Z]",
    b"xdigit": rb"[0-9A-Fa-f]",
}
_NEVER = rb"(?!)"


@dataclass(frozen=True, slots=True)
class _Pattern:
    expression: re.Pattern[bytes]
    excludes: bool  # False: `!pattern`, takes back in
    folders_only: bool  # `pattern/`
    name_only: bool  # without a slash: compared with the last part of the path


class IgnorePatterns:
    """The patterns of one source, relative to one folder."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        self._patterns = [_compiled(pattern) for pattern in patterns][::-1]  # the last one that matches decides

    def verdict(self, path: bytes, *, is_folder: bool) -> bool | None:
        """True to exclude, False to take back in, None if no pattern matches. `path` is relative, without a slash at
        its ends. Folders above it are not considered: who walks does not look into an excluded one.
        """
        name = path.rpartition(b"/")[2]
        for pattern in self._patterns:
            if pattern.folders_only and not is_folder:
                continue
            if pattern.expression.fullmatch(name if pattern.name_only else path):
                return pattern.excludes
        return None


def patterns_of_file(content: bytes) -> list[bytes]:
    """The patterns of an ignore file: without a byte order mark, empty lines, comments and spaces at the end."""
    lines = content.removeprefix(UTF8_BOM).split(b"\n")
    return [_without_trailing_spaces(line.removesuffix(b"\r")) for line in lines if line and not line.startswith(b"#")]


def _without_trailing_spaces(line: bytes) -> bytes:
    r"""Spaces at the end are dropped, unless a backslash stands before them: `name\ `."""
    return re.sub(rb"^((?:\\.|[^\\ ]|[ ]+(?=[^ ]))*)[ ]+$", rb"\1", line, flags=re.DOTALL)


def _compiled(pattern: bytes) -> _Pattern:
    excludes = not pattern.startswith(b"!")
    body = pattern if excludes else pattern[1:]
    folders_only = body.endswith(b"/")
    body = body[:-1] if folders_only else body
    name_only = b"/" not in body
    expression = _Translator(body.removeprefix(b"/"), within_folders=not name_only).expression()
    return _Pattern(re.compile(expression, re.DOTALL), excludes, folders_only, name_only)


class _Translator:
    """One pattern → a regular expression, as wildmatch.c reads it. `within_folders`: `*`, `?` and sets match no slash.

    A pattern that is not complete (`[a`, a backslash at the end) matches nothing.
    """

    def __init__(self, pattern: bytes, *, within_folders: bool) -> None:
        self._pattern = pattern
        self._at = 0
        self._within_folders = within_folders

    def expression(self) -> bytes:
        pieces: list[bytes] = []
        while self._at < len(self._pattern):
            piece = self._piece()
            if piece is None:
                return _NEVER
            pieces.append(piece)
        return b"".join(pieces)

    def _piece(self) -> bytes | None:
        match self._take():
            case b"\\":
                escaped = self._take()
                return re.escape(escaped) if escaped else None
            case b"?":
                return rb"[^/]" if self._within_folders else rb"."
            case b"*":
                return self._stars()
            case b"[":
                return self._set()
            case sign:
                return re.escape(sign)

    def _take(self) -> bytes:
        """The next sign; empty at the end."""
        self._at += 1
        return self._pattern[self._at - 1 : self._at]

    def _stars(self) -> bytes:
        begins = self._at == 1 or self._pattern[self._at - 2 : self._at - 1] == b"/"
        first = self._at
        while self._pattern[self._at : self._at + 1] == b"*":
            self._at += 1
        rest = self._pattern[self._at :]
        if not self._within_folders:
            return rb".*"
        if self._at == first or not begins or not (rest == b"" or rest.startswith((b"/", b"\\/"))):
            return rb"[^/]*"
        if rest.startswith(b"/"):
            self._at += 1
            return rb"(?:.*/)?"
        return rb".*"

    def _set(self) -> bytes | None:
        """The set that begins here, one byte of it or none; None if it does not end."""
        negated = self._next_is(b"!", b"^")
        self._at += negated
        members: list[bytes] = []
        before = b""  # from which a `-` would begin a range
        while True:  # a `]` that comes first is a member
            member, before = self._member(before)
            if member is None:
                return None
            members.append(member)
            if self._next_is(b"]"):
                self._at += 1
                break
        alternatives = b"|".join(members)
        no_slash = rb"(?!/)" if self._within_folders else b""
        return no_slash + (rb"(?!" + alternatives + rb")." if negated else rb"(?:" + alternatives + rb")")

    def _member(self, before: bytes) -> tuple[bytes | None, bytes]:
        """A member of a set, None if the pattern ends here; and the byte from which a `-` would begin a range."""
        sign = self._take()
        if sign == b"[" and self._next_is(b":"):
            return self._named_class()
        if sign == b"-" and before and not self._next_is(b"", b"]"):
            last = self._take_escaped(self._take())
            return (_between(before, last) if last else None), b""
        sign = self._take_escaped(sign)
        return (re.escape(sign) if sign else None), sign

    def _named_class(self) -> tuple[bytes | None, bytes]:
        """`[:alpha:]`, from its colon on; without a second colon the bracket is a sign like others."""
        end = self._pattern.find(b"]", self._at + 1)
        name = self._pattern[self._at + 1 : end]
        if end < 0 or (name.endswith(b":") and name[:-1] not in _CLASSES):
            return None, b""
        if not name.endswith(b":"):
            return rb"\[", b"["
        self._at = end + 1
        return _CLASSES[name[:-1]], b""

    def _take_escaped(self, sign: bytes) -> bytes:
        return self._take() if sign == b"\\" else sign

    def _next_is(self, *signs: bytes) -> bool:
        return self._pattern[self._at : self._at + 1] in signs


def _between(first: bytes, last: bytes) -> bytes:
    """All bytes from `first` to `last`; none if they are the wrong way round."""
    return rb"[" + re.escape(first) + rb"-" + re.escape(last) + rb"]" if first <= last else _NEVER
