"""Selected moments → a file to download: clips in a ZIP, or a timeline. The last few are kept until the server ends."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.editing.export import CutOptions, export_clips, plan_clips
from vidsearch.editing.handing_on import hand_on
from vidsearch.serving.refusals import not_found
from vidsearch.video.messages import shown

if TYPE_CHECKING:
    from vidsearch.records import Hit

CLIPS = ("clips", "exact")  # copied from the key frame before; encoded to the frame
TIMELINES = ("edl", "fcpxml", "xml", "otio", "m3u", "vtt", "csv")  # the form is the suffix
FORMS = (*CLIPS, *TIMELINES)
MOST_MOMENTS = 200
MOST_PAD_S = 60.0
MOST_KEPT = 4


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was made. `id`: nobody else guesses it."""

    id: str
    path: Path

    @property
    def name(self) -> str:
        """What the browser calls it."""
        return self.path.name


class Exports:
    """Makes exports one at a time."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vidsearch-export-"))
        self._made: OrderedDict[str, Export] = OrderedDict()
        self._making = threading.Lock()

    def make(self, form: str, hits: Sequence[Hit], pad_s: float) -> Export:
        """Raises VideoError for a source that cannot be read, VidsearchError if there is no room."""
        with self._making:
            id_ = secrets.token_urlsafe(16)
            folder = self._folder / id_
            folder.mkdir()
            try:
                path = _clips(hits, folder, form, pad_s) if form in CLIPS else _timeline(hits, folder, form, pad_s)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            made = self._made[id_] = Export(id_, path)
            while len(self._made) > MOST_KEPT:
                old, _ = self._made.popitem(last=False)
                shutil.rmtree(self._folder / old, ignore_errors=True)
            return made

    def get(self, id_: str) -> Export:
        """What was made under an id. RefusedError if it is not kept any more."""
        made = self._made.get(id_) if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", id_) else None
        if made is None:
            raise not_found("There is no such export any more; make it again.")
        return made

    def close(self) -> None:
        """Deletes what was made."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _clips(hits: Sequence[Hit], folder: Path, form: str, pad_s: float) -> Path:
    clips = folder / "clips"
    options = CutOptions("copy" if form == "clips" else "precise", pad_s)
    for _ in export_clips(plan_clips(hits, clips, options), options):
        pass
    target = folder / "vidsearch-clips.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # video gains nothing from more
        for clip in sorted(clips.iterdir()):
            archive.write(clip, shown(Path(clip.name)))
            clip.unlink()  # the room is needed once
    return target


def _timeline(hits: Sequence[Hit], folder: Path, form: str, pad_s: float) -> Path:
    return hand_on(hits, folder / f"vidsearch.{form}", pad_s=pad_s).target
