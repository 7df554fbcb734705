"""The main job from Python: index a folder into a library of its own, then find moments by words.

python examples/index_and_query.py [FOLDER] ["words"]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import vidsearch
from vidsearch.workflows.index import VideoFailed, VideoIndexed

MODEL = "mobileviclip-nano"
INSTALLED = Path("models")  # only looked at for models that do not come with vidsearch


def main(folder: Path, words: str) -> None:
    clips = vidsearch.open_clip_embedder(MODEL, models_dir=INSTALLED)
    options = vidsearch.IndexOptions(model=MODEL, frame_spec=clips.frame_spec)
    with tempfile.TemporaryDirectory() as home, vidsearch.Library.open(Path(home)) as library:
        for outcome in vidsearch.index_folders([folder], library, lambda: clips, options):
            match outcome:
                case VideoIndexed(file, facts, windows):
                    print(f"{file.path.name}: {facts.duration_s:.1f} s, {windows} windows, read by {facts.reader}")
                case VideoFailed(path, kind, message):
                    print(f"{path.name}: {kind}: {message}")

        text = vidsearch.open_text_embedder(MODEL, models_dir=INSTALLED)
        query = vidsearch.Query((vidsearch.Term(words),), top=3)
        for hit in vidsearch.find_moments(library, text, query):
            print(f"{hit.number}. {hit.path.name} {hit.start_s:.1f}-{hit.end_s:.1f} s, score {hit.score:.3f}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        Path(given[0]) if given else Path(__file__).parent / "clips",
        given[1] if len(given) > 1 else "a red circle moves to the right",
    )
