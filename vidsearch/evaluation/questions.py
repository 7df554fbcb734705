"""Multiple choice about videos: what the model is asked, and which letter its answer counts as.

Prompts and rules are those of lmms-eval as of February and March 2025, with which Mobile-VideoGPT was measured. Two of
its rules draw a letter at random if they find none; here such an answer is wrong, and counted, so that the score with
a fifth of them added can be said beside it.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_DIRECTLY = "Answer with the option's letter from the given choices directly."
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ENDS = ",.!?;:'"
_MLVU_PHRASES = ("The best answer is", "The correct answer is", "The answer is", "The answer")
MORE_WORDS = 5  # than so many must an answer have for options to be looked for in it
FIVE, FOUR = "ABCDE", "ABCD"


@dataclass(frozen=True, slots=True)
class Extracted:
    """The letter of an answer, None if there is none; `drawn`: the original would draw one at random."""

    letter: str | None
    drawn: bool = False


def mvbench_prompt(question: str, options: Sequence[str]) -> str:
    """What follows the visual tokens in MVBench."""
    listed = "".join(f"({letter}) {option}\n" for letter, option in zip(FIVE, options, strict=False))
    return f"Question:{question}\nOption:\n{listed}Only give the best option.\n"


def mlvu_prompt(question: str) -> str:
    """The same in MLVU, whose questions hold their options."""
    return f"\n{question}\nOnly give the best option.\n\nBest option: ("


def nextqa_prompt(question: str, options: Sequence[str]) -> str:
    """The same in NExT-QA; no instruction."""
    return "\n".join([question.strip(), *_lettered([option.strip() for option in options])])


def egoschema_prompt(question: str, options: Sequence[str]) -> str:
    """The same in EgoSchema, whose options begin with their letter."""
    return "\n".join([question, *options, _DIRECTLY])


def perceptiontest_prompt(question: str, options: Sequence[str]) -> str:
    """The same in PerceptionTest."""
    return "\n".join([question, *_lettered(options), _DIRECTLY])


def activitynet_qa_prompt(question: str) -> str:
    """The same in ActivityNet-QA, which is answered in words."""
    return f"{question.capitalize()}? Answer the question using a single word or phrase."


def _lettered(options: Sequence[str]) -> list[str]:
    return [f"{letter}. {option}" for letter, option in zip(string.ascii_uppercase, options, strict=False)]


def cleaned(output: str) -> str:
    """What a model said, without special tokens, as the rules see it."""
    return output.strip().removesuffix("<|im_end|>").strip()


def mvbench_letter(output: str) -> Extracted:
    """`B. an option` on one line; else the first letter that stands alone, in any case, once signs are gone."""
    whole = re.match(r"([A-E])\.\s*.+$", output.strip(), re.IGNORECASE)
    if whole:
        return Extracted(whole[1].upper())
    text = output.replace("\n", " ").replace("\t", " ").strip()
    number = re.search(r"\d,\d", text) is not None
    shown = text
    for sign in _PUNCTUATION:
        alone = f"{sign} " in text or f" {sign}" in text
        shown = shown.replace(sign, "" if alone or number else " ")
    found = re.search(r"\b[a-e]\b", re.sub(r"\.(?!\d)", "", shown).lower())
    return Extracted(found[0].upper() if found else None)


def egoschema_letter(output: str, options: Sequence[str]) -> Extracted:
    """All letters as `(X)`, `X ` or `X.`, else options that are contained; of several the one named earliest.

    Each form of a letter counts where it stands last.
    """
    text = _padded(output)
    named = [(form % letter, letter) for form in ("(%s)", "%s ", "%s.") for letter in FIVE]
    places = [(text.rfind(form), letter) for form, letter in named if form in text]
    places = places or [(place, letter) for letter, place in _contained(text, options).items()]
    return Extracted(min(places)[1]) if places else Extracted(None, drawn=True)


def nextqa_letter(output: str, options: Sequence[str]) -> Extracted:
    """`(X)`; only if there is none `X `; then `X.`; then answers that are contained. Of several the one named last."""
    text = _padded(output)
    bracketed = {letter: text.rfind(f"({letter})") for letter in FIVE if f"({letter})" in text}
    blank = {letter: text.rfind(f" {letter} ") for letter in FIVE if f"{letter} " in text}
    stopped = {letter: text.rfind(f" {letter} ") for letter in FIVE if f"{letter}." in text}
    places = bracketed or blank or stopped or _contained(text, options)
    return Extracted(max(places, key=lambda letter: places[letter])) if places else Extracted(None, drawn=True)


def _padded(output: str) -> str:
    for sign in _ENDS:  # one after the other, each once
        output = output.strip(sign)
    return f" {output} "


def _contained(text: str, options: Sequence[str]) -> dict[str, int]:
    """The options, in any case, that an answer of more than five words holds, and where last."""
    if len(text.split()) <= MORE_WORDS:
        return {}
    low = text.lower()
    wanted = {letter: option.strip().lower() for letter, option in zip(FIVE, options, strict=False)}
    return {letter: low.rfind(option) for letter, option in wanted.items() if option in low}


def perceptiontest_letter(output: str) -> Extracted:
    """The first capital A to D that stands alone."""
    found = re.search(r"\b[A-D]\b", output)
    return Extracted(found[0] if found else None)


def mlvu_letter(output: str) -> Extracted:
    """The first capital A to D anywhere, inside words too, once a few phrases are gone; until 16 March 2025."""
    for phrase in _MLVU_PHRASES:
        output = output.replace(phrase, "")
    found = re.search(r"[A-D]", output)
    return Extracted(found[0] if found else None)


def mlvu_answer_later(output: str) -> str:
    """From 16 March 2025: what stands before the first closing bracket, else all of the output."""
    before, bracket, _ = output.partition(")")
    return before[-1:] if bracket else output


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Right answers of all that count, and how many of the wrong ones the original would have drawn at random."""

    right: int
    total: int
    drawn: int = 0

    @property
    def percent(self) -> float:
        """Drawn answers are wrong; 0 of nothing."""
        return 100 * self.right / self.total if self.total else 0.0

    def percent_with_luck(self, options: int = 5) -> float:
        """With the share of the drawn answers added that would be right by chance."""
        return 100 * (self.right + self.drawn / options) / self.total if self.total else 0.0


def accuracy(extracted: Sequence[Extracted], truth: Sequence[str]) -> Accuracy:
    """Of answers to questions whose right letters are known."""
    right = sum(each.letter == letter for each, letter in zip(extracted, truth, strict=True))
    return Accuracy(right, len(extracted), sum(each.drawn for each in extracted))


def mean_percent(tasks: Mapping[str, Accuracy]) -> float:
    """The mean over tasks, as MVBench (20) and MLVU (7) are reported."""
    return sum(each.percent for each in tasks.values()) / len(tasks)


def judged(reply: str) -> tuple[bool, int] | None:
    """What a judge of ActivityNet-QA said: is the answer right, and its score from 0 to 5; None if it cannot be read.

    A reply that cannot be read counts as no, with score 0.
    """
    start = reply.find("{")
    end = reply.find("}", start)
    try:
        verdict = ast.literal_eval(reply[start : end + 1]) if 0 <= start < end else None
        said, score = verdict["pred"].lower(), int(verdict["score"])  # type: ignore[index]
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError):
        return None
    return ("yes" in said, score) if "yes" in said or "no" in said else None


def exact_match(answers: Sequence[str], truth: Sequence[str]) -> Accuracy:
    """ActivityNet-QA's own metric, without a judge: answers that are equal to the truth."""
    return Accuracy(sum(answer == right for answer, right in zip(answers, truth, strict=True)), len(answers))
