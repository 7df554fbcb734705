"""A clip and a sentence in one space with ONNX Runtime, numpy and PyAV: the cosine of the two.

vidsearch models export mobileviclip-nano --to onnx -o exported
python examples/mobile/with_onnxruntime.py exported mobileviclip-nano VIDEO "a red square moves to the left"
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from contract import Tokenizer, clip_of, read_contract


def main(folder: Path, model: str, video: Path, sentence: str) -> float:
    clip_file, text_file = (folder / f"{model}-{tower}-fp32.onnx" for tower in ("clip", "text"))
    clip, text = (onnxruntime.InferenceSession(file) for file in (clip_file, text_file))
    words = read_contract(text_file)
    ids = np.zeros((1, 77), np.int64)
    tokens = Tokenizer(folder, words).ids(sentence)
    ids[0, : len(tokens)] = tokens
    (seen,) = clip.run(None, {"clip": clip_of(video, read_contract(clip_file))[None]})
    (said,) = text.run(None, {"ids": ids})
    return float((seen * said).sum())


if __name__ == "__main__":
    print(f"{main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]):.6f}")
