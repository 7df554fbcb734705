"""A folder of pictures as a clip, which is how MVBench hands out its episodes; the reference's rule for one.

Source: the released program's loader (inference settings): names in order, three pictures a second, every third of
them, at most 16: the first 16 seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vidsearch.answering.interface import TimeRange
from vidsearch.errors import VideoError
from vidsearch.models.mobilevideogpt.frame_sampling import FRAMES

RATE = 3  # pictures of a second; and the step from one that is looked at to the next
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """The pictures that are looked at and their times; [start_s, end_s) is what the folder has of the wanted range."""

    path: Path
    pictures: tuple[Path, ...]
    times_s: tuple[float, ...]
    start_s: float
    end_s: float

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Each picture as uint8 RGB (H, W, 3). Raises VideoError for one that cannot be read."""
        return map(_decoded, self.pictures)


def open_pictures(path: Path, wanted: TimeRange) -> PictureFolder:
    """The pictures of a folder to look at. Raises VideoError if the range, or the folder, has none."""
    listed = [(number / RATE, picture) for number, picture in enumerate(_listed(path))]
    start_s, end_s = wanted.start_s or 0.0, len(listed) / RATE
    if wanted.end_s is not None:
        end_s = min(end_s, wanted.end_s)
    shown = [(time, picture) for time, picture in listed if start_s <= time < end_s][::RATE][:FRAMES]
    if not shown:
        raise VideoError("no-frames", f"{path} holds no picture (.jpg, .png) of the time wanted; name another folder.")
    return PictureFolder(path, tuple(own for _, own in shown), tuple(time for time, _ in shown), start_s, end_s)


def fingerprint_of_pictures(path: Path) -> str:
    """What changes if a picture does: names, sizes and times, hashed."""
    hashed = hashlib.blake2b(digest_size=16)
    for picture in _listed(path):
        state = picture.stat()
        hashed.update(f"{picture.name}|{state.st_size}|{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return f"pictures-{hashed.hexdigest()}"


def _listed(path: Path) -> list[Path]:
    return sorted(own for own in path.iterdir() if own.suffix.lower() in SUFFIXES and own.is_file())


def _decoded(picture: Path) -> NDArray[np.uint8]:
    try:
        with av.open(str(picture)) as container:
            return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), dtype=np.uint8)
    except (av.error.FFmpegError, OSError, StopIteration, IndexError, ValueError) as error:
        raise VideoError("corrupt", f"{picture} cannot be read as a picture ({error}); copy it again.") from error
