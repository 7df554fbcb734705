"""Which sentence says best what a clip shows? One window of frames, a few sentences, their cosines.

python examples/compare_clip_with_sentences.py CLIP "a sentence" "another sentence"
"""

from __future__ import annotations

import sys
from pathlib import Path

import vidsearch

MODEL = "mobileviclip-nano"
INSTALLED = Path("models")


def main(clip: Path, sentences: list[str]) -> None:
    clips = vidsearch.open_clip_embedder(MODEL, models_dir=INSTALLED)
    texts = vidsearch.open_text_embedder(MODEL, models_dir=INSTALLED)
    with vidsearch.open_reader(clip, clips.frame_spec) as reader:
        window = next(vidsearch.read_windows(reader, vidsearch.WindowSpec(frames=clips.frames)))
    [seen] = clips.embed(window.frames[None])  # (1, 8, H, W, 3) uint8 → (1, E)
    for cosine, sentence in sorted(zip(texts.embed(sentences) @ seen, sentences, strict=True), reverse=True):
        print(f"{cosine:6.3f}  {sentence}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
