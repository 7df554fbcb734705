"""The ten phrases of the apps, each with its vector, as the JSON that they carry.

python examples/mobile/phrases.py mobileviclip-nano > phrases.json
"""

from __future__ import annotations

import json
import sys

import vidsearch

PHRASES = [
    "a red square moves to the left",
    "a red square moves to the right",
    "a blue heart grows",
    "a blue heart shrinks",
    "a green triangle moves down",
    "a purple circle moves up",
    "a purple arrow turns clockwise",
    "an orange ring moves in a circle",
    "a yellow star bounces",
    "a white star stands still",
]


def main(model: str) -> str:
    vectors = vidsearch.open_text_embedder(model).embed(PHRASES)  # (10, E), unit length
    return json.dumps([{"phrase": p, "vector": v.tolist()} for p, v in zip(PHRASES, vectors, strict=True)], indent=0)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
