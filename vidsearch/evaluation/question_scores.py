"""Answers to the questions of a set → its figures, and the files that a judge or the authors' server reads."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.question_sets import Question, QuestionSet
from vidsearch.evaluation.questions import (
    FIVE,
    Accuracy,
    Extracted,
    accuracy,
    egoschema_letter,
    exact_match,
    judged,
    mean_percent,
    mlvu_answer_later,
)
from vidsearch.evaluation.record_files import records_of
from vidsearch.files import replacing

Answers = Sequence[tuple[Question, str]]
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_TYPES = ("motion", "spatial", "temporal", "yes/no", "colour", "object", "place", "number", "other")


def scores(known: QuestionSet, answers: Answers) -> dict[str, Any]:
    """The figures of a set, in percent; `tasks` has those of each task or type."""
    if known.letter is None:
        return _in_words(answers)
    public = [(question, answer) for question, answer in answers if question.truth is not None]
    if known.name == "mvbench":  # the original leaves empty answers out of the denominator
        public = [(question, answer) for question, answer in public if answer]
    extracted = [known.letter(answer, question.options) for question, answer in public]
    whole = _accuracy(public, extracted)
    tasks = {task: _accuracy(*own) for task, own in _by_task(public, extracted).items()}
    figures: dict[str, Any] = {
        "accuracy": mean_percent(tasks) if known.mean_of_tasks and tasks else whole.percent,
        "scored": whole.total,
        "without_letter": sum(each.letter is None for each in extracted),
        "tasks": {task: {"accuracy": own.percent, "scored": own.total} for task, own in tasks.items() if task},
    }
    if whole.drawn or known.name in ("egoschema", "nextqa-mc"):
        figures |= {"drawn": whole.drawn, "accuracy_with_luck": whole.percent_with_luck(5)}
    if known.mean_of_tasks:
        figures |= {"pooled": whole.percent, "tasks_scored": len(tasks), "tasks_total": known.tasks_total}
    if known.name == "mvbench":
        figures["empty"] = len(answers) - len(public)
    if known.name == "mlvu":
        figures["accuracy_since_2025_03_16"] = _later(public)
    return figures


def _accuracy(answers: Answers, extracted: Sequence[Extracted]) -> Accuracy:
    return accuracy(extracted, [question.truth or "" for question, _ in answers])


def _by_task(answers: Answers, extracted: Sequence[Extracted]) -> dict[str, tuple[Answers, list[Extracted]]]:
    tasks: dict[str, tuple[list[tuple[Question, str]], list[Extracted]]] = {}
    for pair, letter in zip(answers, extracted, strict=True):
        own = tasks.setdefault(pair[0].task, ([], []))
        own[0].append(pair)
        own[1].append(letter)
    return {task: tasks[task] for task in sorted(tasks)}


def _later(answers: Answers) -> float:
    """MLVU by the rule of 16 March 2025: the mean over tasks."""
    tasks: dict[str, list[bool]] = {}
    for question, answer in answers:
        tasks.setdefault(question.task, []).append(mlvu_answer_later(answer) == question.truth)
    return mean_percent({task: Accuracy(sum(right), len(right)) for task, right in tasks.items()}) if tasks else 0.0


def _in_words(answers: Answers) -> dict[str, Any]:
    """ActivityNet-QA without its judge: exact equality, the data set's own metric, and equality of what is said."""
    types: dict[str, list[tuple[Question, str]]] = {}
    for question, answer in answers:
        types.setdefault(question.task, []).append((question, answer))
    named = {_type_name(number): _matches(types[number]) for number in sorted(types) if number}
    return {**_matches(answers), "tasks": named}


def _type_name(number: str) -> str:
    return _TYPES[int(number)] if number.isdigit() and int(number) < len(_TYPES) else number


def _matches(answers: Answers) -> dict[str, Any]:
    said, truth = [answer for _, answer in answers], [question.truth or "" for question, _ in answers]
    same = exact_match([normalised(answer) for answer in said], [normalised(right) for right in truth])
    return {"exact": exact_match(said, truth).percent, "normalised": same.percent, "scored": len(said)}


def normalised(answer: str) -> str:
    """An answer without case, punctuation, articles and blanks that are not needed."""
    bare = answer.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(_ARTICLES.sub(" ", bare).split())


def write_for_judge(path: Path, answers: Answers) -> None:
    """What lmms-eval's judge of ActivityNet-QA reads: a JSON list of question (Q), right answer (A) and answer (pred).

    The judge (gpt-3.5-turbo-0613, since withdrawn) is asked once a question whether the two answers mean the same, and
    for {'pred': 'yes' or 'no', 'score': 0 to 5}.
    """
    records = [
        {
            "video_name": question.video,
            "Q": question.asked,
            "A": question.truth,
            "pred": answer,
            "question_id": question.id,
            "type": question.task,
        }
        for question, answer in answers
    ]
    _write(path, records)


def write_submission(path: Path, answers: Answers) -> int:
    """What EgoSchema's server reads: {video: 0 to 4}; how many answers have no letter and are given as 0."""
    letters = {question.video: egoschema_letter(answer, question.options).letter for question, answer in answers}
    _write(path, {video: FIVE.index(letter or "A") for video, letter in letters.items()})
    return sum(letter is None for letter in letters.values())


def _write(path: Path, content: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise VidsearchError(f"{path} cannot be written ({error.strerror}).") from error


def judged_scores(path: Path, answers: Answers) -> dict[str, float]:
    """The figures of a judge from a file of its replies: records with question_id and reply, the text it gave.

    A question without a reply, or with one that cannot be read, counts as no with score 0, as in the original.
    VidsearchError if the file is not of that form.
    """
    replies: Mapping[str, Any] = {str(own.get("question_id")): own.get("reply") for own in records_of(path)}
    known = {question.id for question, _ in answers}
    if not known & replies.keys():
        raise VidsearchError(f"{path} has no reply to a question of this set; a record has question_id and reply.")
    verdicts = [judged(str(replies.get(question.id, ""))) for question, _ in answers]
    read = [verdict or (False, 0) for verdict in verdicts]
    return {
        "accuracy": 100 * sum(right for right, _ in read) / len(read),
        "score": sum(score for _, score in read) / len(read),
        "unread": sum(verdict is None for verdict in verdicts),
    }
