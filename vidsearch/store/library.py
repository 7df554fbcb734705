"""The one place where an address becomes an open library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.errors import LibraryError
from vidsearch.store.sqlite.library import SqliteLibrary

if TYPE_CHECKING:
    from vidsearch.store import interface

Library = SqliteLibrary  # the public name, `vidsearch.Library`; vidsearch itself asks for interface.Library


def open_library(address: Path | str, *, create: bool = True, warm: bool = False) -> interface.Library:
    """Opens the library at an address: the path of a folder on this machine.

    `warm`: it will be asked often, so the first search already loads what makes later ones quick.

    Raises LibraryError if there is none and `create` is False, for an address of another kind, and for a library that
    is newer than this program, damaged or unreadable. A folder that cannot be written can be searched.
    """
    if isinstance(address, str) and "://" in address:
        raise LibraryError(f"a library is a folder of this machine, {address} is none: give the path of one")
    return SqliteLibrary.open(Path(address), create=create, warm=warm)


def library_exists(address: Path | str) -> bool:
    """Whether a library was ever made at an address, sound or not."""
    return SqliteLibrary.exists(Path(address))
