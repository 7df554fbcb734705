"""A clip and a sentence in one space with LiteRT, numpy and PyAV: the cosine of the two.

vidsearch models export mobileviclip-nano --to litert -o exported
python examples/mobile/with_litert.py exported mobileviclip-nano VIDEO "a red square moves to the left"
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from contract import Tokenizer, clip_of, read_contract, rows_and_end


def run(file: Path, **inputs: np.ndarray) -> np.ndarray:
    return Interpreter(model_path=str(file)).get_signature_runner()(**inputs)["vector"]


def main(folder: Path, model: str, video: Path, sentence: str) -> float:
    clip_file, text_file = (folder / f"{model}-{tower}-fp32.tflite" for tower in ("clip", "text"))
    words = read_contract(text_file)
    rows, end = rows_and_end(Tokenizer(folder, words), sentence, folder, words)
    seen = run(clip_file, clip=clip_of(video, read_contract(clip_file)))
    said = run(text_file, ids=rows, end=end)
    return float((seen * said).sum())


if __name__ == "__main__":
    print(f"{main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]):.6f}")
