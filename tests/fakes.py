"""Fakes with a known right answer, for tests of what is done with a model's output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vidsearch.answering.interface import Clip, EncodedClip, GenerationOptions
from vidsearch.records import FinishReason, FrameSpec

COLOURS = ("red", "green", "blue")


class ColourEmbedder:
    """Clips and words in one space of three axes: a clip is its mean colour, a text the sum of the colours it names."""

    model = "colours"
    dim = len(COLOURS)
    frame_spec = FrameSpec(side_px=16)
    frames = 8
    device = "none"

    def embed_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) → (B, 3)."""
        return _unit_rows(clips.reshape(len(clips), -1, 3).mean(axis=1))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """→ (B, 3); a text that names no colour is grey."""
        counts = [[text.split().count(colour) for colour in COLOURS] for text in texts]
        return _unit_rows(np.array([row if any(row) else [1] * len(COLOURS) for row in counts], dtype=np.float64))

    def embed(self, given: NDArray[np.uint8] | Sequence[str]) -> NDArray[np.float32]:
        """As a ClipEmbedder for an array, as a TextEmbedder for texts."""
        return self.embed_clips(given) if isinstance(given, np.ndarray) else self.embed_texts(given)

    def unknown_words(self, text: str) -> list[str]:
        """All words but the colours."""
        return [word for word in text.split() if word not in COLOURS]

    def unread_words(self, text: str) -> list[str]:
        """None: it reads a text of any length."""
        return []

    def knows_none_of(self, text: str) -> bool:
        """Whether `text` names no colour."""
        return not any(word in COLOURS for word in text.split())


class CountingEmbedder(ColourEmbedder):
    """Counts the clips that it embeds."""

    def __init__(self) -> None:
        self.clips = 0

    def embed_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.clips += len(clips)
        return super().embed_clips(clips)


class ScriptedAnswerer:
    """An `Answerer` that says what it was told to, a word a piece, and writes down what it was asked."""

    model = "scripted"
    device = "none"

    def __init__(self, answers: Mapping[str, str], finish_reason: FinishReason = "stop") -> None:
        self.answers = answers
        self.ends = finish_reason  # of an answer that is heard to its end
        self.asked: list[tuple[str, bool]] = []  # each question, and whether it kept the history

    def encode(self, clip: Clip) -> ScriptedSession:
        """Reads nothing: four frames of any file."""
        times = (0.0, 1.0, 2.0, 3.0)
        return ScriptedSession(self, EncodedClip(clip.path, 0.0, 4.0, times, times[:2], self.model, False))

    def unknown_words(self, question: str) -> list[str]:
        """All of a question that has no answer."""
        return [] if question in self.answers else question.split()


class ScriptedSession:
    """A `ClipSession` of a `ScriptedAnswerer`."""

    def __init__(self, answerer: ScriptedAnswerer, clip: EncodedClip) -> None:
        self.clip = clip
        self.tokens = 0
        self.finish_reason: FinishReason = "interrupted"
        self._answerer = answerer

    def ask(self, question: str, options: GenerationOptions, *, keep_history: bool = False) -> Iterator[str]:
        """The scripted words, at most `max_new_tokens` of them."""
        self._answerer.asked.append((question, keep_history))
        self.tokens, self.finish_reason = 0, "interrupted"
        for word in self._answerer.answers.get(question, "").split()[: options.max_new_tokens]:
            self.tokens += 1
            yield word if self.tokens == 1 else f" {word}"
        self.finish_reason = self._answerer.ends


def _unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return np.asarray(rows / lengths, dtype=np.float32)
