"""Captions against references: BLEU-1 … 4, METEOR, ROUGE-L and CIDEr, by pycocoevalcap, which papers use.

Its tokenizer and METEOR are Java programs. Without Java the words are split here (`caption_words.py`), and METEOR is
left out.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.caption_words import split_words
from vidsearch.extras import needing

Texts = Mapping[str, Sequence[str]]  # name of a video → its captions
NO_JAVA = "METEOR is left out: it needs Java, which is not installed (Debian: apt install default-jre-headless)"


def has_java() -> bool:
    """Whether a Java program can be started."""
    return shutil.which("java") is not None


def caption_scores(references: Texts, candidates: Mapping[str, str], *, java: bool | None = None) -> dict[str, float]:
    """bleu1 … bleu4, rouge_l, cider and, with Java, meteor, times 100 as papers print them; over all videos together.

    Both have the same videos. `java` None: if it is installed. VidsearchError if the extra eval is not installed, or
    Java fails.
    """
    if references.keys() != candidates.keys() or not candidates:
        raise ValueError("each video needs references and one candidate")
    bleu, cider, rouge = _scorers()
    with_java = has_java() if java is None else java
    words = _java_words if with_java else _own_words
    right = words({name: [_one_line(text) for text in texts] for name, texts in references.items()})
    said = words({name: [_one_line(text)] for name, text in candidates.items()})
    figures = {f"bleu{n}": value for n, value in enumerate(bleu(4).compute_score(right, said, verbose=0)[0], start=1)}
    figures["rouge_l"] = rouge().compute_score(right, said)[0]
    figures["cider"] = cider().compute_score(right, said)[0]
    if with_java:
        figures["meteor"] = _meteor(right, said)
    return {name: 100 * float(value) for name, value in figures.items()}


def _scorers() -> tuple[Any, Any, Any]:
    with needing("scoring captions"):
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    return Bleu, Cider, Rouge


def _one_line(text: str) -> str:
    """A line of its own, never empty: the tokenizer reads a line a caption, and drops a lone full stop."""
    return " ".join(text.split()) or "."


def _own_words(captions: Texts) -> dict[str, list[str]]:
    return {name: [split_words(text) for text in texts] for name, texts in captions.items()}


def _java_words(captions: Texts) -> dict[str, list[str]]:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    given = {name: [{"caption": text} for text in texts] for name, texts in captions.items()}
    try:
        words: dict[str, list[str]] = PTBTokenizer().tokenize(given)
    except OSError as error:  # it writes beside its own files
        raise VidsearchError(f"The tokenizer of captions cannot run ({error}).") from error
    if {name: len(texts) for name, texts in words.items()} != {name: len(texts) for name, texts in captions.items()}:
        raise VidsearchError("The tokenizer of captions, a Java program, failed; see whether java -version works.")
    return words


def _meteor(references: Texts, candidates: Texts) -> float:
    from pycocoevalcap.meteor.meteor import Meteor

    program = Meteor()
    try:
        return float(program.compute_score(references, candidates)[0])
    except (OSError, ValueError) as error:
        raise VidsearchError(f"METEOR, a Java program, failed ({error}); see whether java -version works.") from error
    finally:
        process = program.meteor_p
        process.kill()
        process.communicate()
