"""A clip and a sentence in one space with ExecuTorch, numpy and PyAV: the cosine of the two.

vidsearch models export mobileviclip-nano --to executorch -o exported
python examples/mobile/with_executorch.py exported mobileviclip-nano VIDEO "a red square moves to the left"
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from contract import Tokenizer, clip_of, read_contract, rows_and_end
from executorch.runtime import Runtime


def run(file: Path, *inputs: torch.Tensor) -> torch.Tensor:
    program = Runtime.get().load_program(file)  # must outlive its method
    return program.load_method("forward").execute(list(inputs))[0].clone()


def main(folder: Path, model: str, video: Path, sentence: str) -> float:
    clip_file, text_file = (folder / f"{model}-{tower}-fp32.pte" for tower in ("clip", "text"))
    words = read_contract(text_file)
    rows, end = rows_and_end(Tokenizer(folder, words), sentence, folder, words)
    seen = run(clip_file, torch.from_numpy(clip_of(video, read_contract(clip_file))))
    said = run(text_file, torch.from_numpy(rows), torch.from_numpy(end))
    return float((seen * said).sum())


if __name__ == "__main__":
    print(f"{main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]):.6f}")
