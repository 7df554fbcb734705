"""Answers of a model to questions about videos, kept on disk so that a run that was cut off goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TextIO

from vidsearch.evaluation.files import version_of


class KeptAnswers:
    """One file of JSON lines a model and set, written line by line. A context manager.

    An answer is known by its video (path, size, time), by the model (its weights), and by all that it was asked with.
    """

    def __init__(self, folder: Path, set_name: str, model: str, weights: Path, protocol: str) -> None:
        self.path = folder / "answers" / model / f"{set_name}.jsonl"
        self._about = f"{model}|{version_of(weights)}|{protocol}"
        self._answers: dict[str, str] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> KeptAnswers:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = b""
        if self.path.is_file():
            content = self.path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]  # a killed run may have left half a line
        for line in whole.decode("utf-8", "replace").splitlines():
            self._add(line)
        self._file = self.path.open("r+" if self.path.is_file() else "w", encoding="utf-8")
        self._file.truncate(len(whole))
        self._file.seek(len(whole))
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _add(self, line: str) -> None:
        try:
            record = json.loads(line)
            self._answers[str(record["key"])] = str(record["answer"])
        except (ValueError, KeyError, TypeError):
            pass  # a damaged line is asked again

    def key(self, video: Path, *asked: object) -> str:
        """The name of an answer: what it depends on, hashed."""
        about = "|".join([self._about, str(video.resolve()), version_of(video), *map(repr, asked)])
        return hashlib.sha256(about.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def get(self, key: str) -> str | None:
        """The kept answer; None if there is none."""
        return self._answers.get(key)

    def put(self, key: str, answer: str) -> None:
        """Keep an answer; it is on disk when this returns, unless the machine itself stops."""
        assert self._file is not None  # entered
        self._answers[key] = answer
        self._file.write(json.dumps({"key": key, "answer": answer}) + "\n")
        self._file.flush()
