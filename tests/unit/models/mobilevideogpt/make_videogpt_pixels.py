"""Make videogpt_pixels.json: what Pillow and OpenCV make of pictures of many sizes, as digests.

    python tests/unit/models/mobilevideogpt/make_videogpt_pixels.py

Needs Pillow (13 or newer: the order of its two passes changed there) and opencv-python-headless; vidsearch needs
neither.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image

SIDE = 224
# Wide, tall, square; shrunk, enlarged, one side only, neither; odd sizes. So tall that Pillow starts with the columns:
# (481, 240) just does, (480, 240) just does not, and neither does (250, 100), which is enlarged.
SIZES = [
    (360, 640),
    (480, 270),
    (224, 224),
    (150, 200),
    (241, 1031),
    (1080, 1920),
    (448, 448),
    (1, 1),
    (2, 3),
    (7, 224),
]
SIZES += [(224, 300), (300, 224), (223, 225), (544, 245), (661, 228), (481, 240), (480, 240), (640, 224), (250, 100)]


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Noise: every rounding of every pixel is put to the test."""
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def digest(square: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(square).tobytes()).hexdigest()[:16]


def with_pillow(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    short = min(height, width)
    size = (int(SIDE * width / short), int(SIDE * height / short))
    resized = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    left, top = ((side - SIDE) // 2 for side in size)
    return resized[top : top + SIDE, left : left + SIDE]


def main() -> None:
    cases = []
    for seed, (height, width) in enumerate(SIZES):
        frame = picture(seed, height, width)
        resized = {"pillow": digest(with_pillow(frame)), "opencv": digest(cv2.resize(frame, (SIDE, SIDE)))}
        cases.append({"seed": seed, "height": height, "width": width, **resized})
    made_with = f"Pillow {PIL.__version__}, OpenCV {cv2.__version__}"
    lines = ",\n  ".join(json.dumps(case) for case in cases)
    text = f'{{\n "made_with": "{made_with}",\n "cases": [\n  {lines}\n ]\n}}\n'
    Path(__file__).with_name("videogpt_pixels.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
