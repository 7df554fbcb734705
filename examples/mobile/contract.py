"""What the examples share: a video's frames and a sentence's tokens, as the card of an exported file asks for them.

Nothing but numpy, and PyAV to decode. The card is JSON; every number that an app needs stands in it.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import av
import numpy as np


def read_contract(exported: Path) -> dict:
    """The contract in `FILE.json`, the card beside an exported file."""
    return json.loads(exported.with_name(exported.name + ".json").read_text(encoding="utf-8"))["contract"]


def clip_of(video: Path, contract: dict) -> np.ndarray:
    """(T, 3, S, S) float32: frames from the middles of T equal parts of the video, squashed, normalised."""
    shape = contract["inputs"][0]["shape"]
    count, side = shape[-4], shape[-1]
    with av.open(str(video)) as container:
        decoded = list(container.decode(video=0))  # a short clip; an app seeks instead
    places = [int((i + 0.5) / count * len(decoded)) for i in range(count)]
    frames = [
        decoded[place].to_ndarray(width=side, height=side, format="rgb24", interpolation="AREA") for place in places
    ]
    pixels = np.stack(frames).astype(np.float32) / 255
    normalised = (pixels - np.float32(contract["mean"])) / np.float32(contract["std"])
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))


class Tokenizer:
    """CLIP's byte-pair encoding in as few lines as it takes, for plain English."""

    def __init__(self, folder: Path, contract: dict) -> None:
        merges = (folder / "clip-merges.txt").read_text(encoding="utf-8").split("\n")
        self._ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        self._made = {merge.replace(" ", ""): 512 + rank for rank, merge in enumerate(merges)}
        self._contract = contract

    def ids(self, text: str) -> list[int]:
        """Start, the text's tokens, end: not longer than the context."""
        words = re.findall(
            r"[a-z]+|[0-9]|[^\sa-z0-9]+", re.sub(r"[,.'!?\"()*#:;~]", "", text.lower()).replace("-", " ")
        )
        tokens = [token for word in words for token in self._word(word)]
        start, end, context = (self._contract[name] for name in ("start_token", "end_token", "context"))
        return [start, *tokens[: context - 2], end]

    def _word(self, word: str) -> list[int]:
        signs = [*word[:-1], word[-1] + "</w>"]
        while len(signs) > 1:
            ranks = [self._ranks.get(pair, len(self._ranks)) for pair in pairwise(signs)]
            best = min(range(len(ranks)), key=ranks.__getitem__)
            if ranks[best] == len(self._ranks):
                break
            signs[best : best + 2] = [signs[best] + signs[best + 1]]
        return [self._made[sign] if sign in self._made else _single(sign) for sign in signs]


def rows_and_end(tokenizer: Tokenizer, text: str, folder: Path, contract: dict) -> tuple[np.ndarray, np.ndarray]:
    """`ids` (1, L) int32 and `end` (1, 1, L) float32, for the files that take one text at a time."""
    ids = tokenizer.ids(text)
    padded = np.zeros((1, contract["context"]), np.int32)
    padded[0, : len(ids)] = ids
    end = np.zeros((1, 1, contract["context"]), np.float32)
    end[0, 0, len(ids) - 1] = 1
    if "rows" in contract:  # a pruned word table: its rows instead of token ids
        table = np.fromfile(folder / contract["rows"].partition(":")[0], "<i4")
        padded = table[padded]
    return padded, end


def _single(sign: str) -> int:
    """The id of one printable ASCII sign, alone or at the end of a word."""
    return ord(sign[0]) - 33 + (256 if sign.endswith("</w>") else 0)
