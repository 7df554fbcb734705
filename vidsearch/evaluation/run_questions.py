"""A benchmark of questions from its data to its figures: the workflow of `vidsearch evaluate questions`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidsearch.answering.interface import Answerer, Clip, GenerationOptions, TimeRange
from vidsearch.errors import LibraryError, ModelError, VideoError, VidsearchError
from vidsearch.evaluation.files import present
from vidsearch.evaluation.kept_answers import KeptAnswers
from vidsearch.evaluation.published import Published, published
from vidsearch.evaluation.question_scores import scores
from vidsearch.evaluation.question_sets import Part, Question, QuestionSet, question_set, read_questions
from vidsearch.evaluation.questions import cleaned
from vidsearch.evaluation.result import result_form
from vidsearch.evaluation.video_vectors import Progress
from vidsearch.records import FrameSpec
from vidsearch.video.reader import open_reader

WHOLE = "whole videos, as the published figures"
CUT = "only the part of a video that the set names"


@dataclass(frozen=True, slots=True)
class QuestionRequest:
    """Which set, where its data are, how many of its questions; `cut`: only the part of a video that the set names."""

    set: str
    data: Path
    limit: int | None = None
    annotations: Path | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question and what the model said, cleaned."""

    question: Question
    answer: str


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """The figures of a set. `items` questions were answered; those about `missing` or `unreadable` videos were not."""

    set: str
    model: str
    items: int
    left_out: int  # questions about videos that are missing or unreadable
    missing: tuple[str, ...]
    unreadable: dict[str, str]
    metrics: dict[str, Any]
    protocol: str
    answers: tuple[AnsweredQuestion, ...]
    published: tuple[Published, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return result_form(self, left_out=self.left_out)


def evaluate_questions(
    request: QuestionRequest, model: str, weights: Path, open_answerer: Callable[[], Answerer], cache_folder: Path
) -> Iterator[Progress | QuestionResult]:
    """Progress, and last the result. Answers are kept in `cache_folder`, so that a run that was cut off goes on.

    `weights` is the model's file, whose change makes kept answers void; `open_answerer` is called if there is anything
    to ask. VidsearchError if the data are not there.
    """
    known = question_set(request.set)
    listed = read_questions(request.set, request.data, request.annotations)[: request.limit]
    there = [question for question, _ in present(listed, request.set, request.data, "questions")]
    protocol = f"greedy, {known.max_new_tokens} new tokens"
    with KeptAnswers(cache_folder, request.set, model, weights, protocol) as kept:
        answered, unreadable = yield from _answered(there, request.cut, known.max_new_tokens, open_answerer, kept)
    if not answered:
        raise VidsearchError(f"No video of {request.set} can be read; the first one: {next(iter(unreadable.values()))}")
    yield QuestionResult(
        set=request.set,
        model=model,
        items=len(answered),
        left_out=len(listed) - len(answered),
        missing=tuple(dict.fromkeys(question.video for question in listed if question.path is None)),
        unreadable=unreadable,
        metrics=scores(known, [(each.question, each.answer) for each in answered]),
        protocol=_protocol(known, request.cut),
        answers=tuple(answered),
        published=published("questions", request.set),
    )


def _answered(
    questions: Sequence[Question],
    cut: bool,
    max_new_tokens: int,
    open_answerer: Callable[[], Answerer],
    kept: KeptAnswers,
) -> Generator[Progress, None, tuple[list[AnsweredQuestion], dict[str, str]]]:
    """The answers in the order of the questions, and why videos have none. A clip is encoded once for its questions."""
    asker = _Asker(open_answerer, GenerationOptions(max_new_tokens=max_new_tokens), kept)
    answers: dict[int, str] = {}
    unreadable: dict[str, str] = {}
    done = 0
    yield Progress(0, len(questions))
    for numbers in _by_clip(questions, cut).values():
        clip = None
        for number in numbers:
            question = questions[number]
            if question.video not in unreadable:
                try:
                    clip = clip or _clip(question, cut)
                    answers[number] = asker.answer(clip, question.prompt)
                except (ModelError, LibraryError):
                    raise
                except VidsearchError as error:  # of this video, or a range that it lacks, or too long a question
                    unreadable[question.video if isinstance(error, VideoError) else question.id] = str(error)
            done += 1
            yield Progress(done, len(questions))
    return [AnsweredQuestion(questions[number], answers[number]) for number in sorted(answers)], unreadable


def _by_clip(questions: Sequence[Question], cut: bool) -> Mapping[tuple[Path | None, Part], list[int]]:
    """Numbers of questions by what they are asked about, in the order in which each comes first."""
    groups: dict[tuple[Path | None, Part], list[int]] = {}
    for number, question in enumerate(questions):
        groups.setdefault((question.path, question.part if cut else Part()), []).append(number)
    return groups


class _Asker:
    """Asks what is not kept; opens the model for the first such question, and encodes a clip once."""

    def __init__(self, open_answerer: Callable[[], Answerer], options: GenerationOptions, kept: KeptAnswers) -> None:
        self._open = open_answerer
        self._options = options
        self._kept = kept
        self._answerer: Answerer | None = None
        self._clip: Clip | None = None

    def answer(self, clip: Clip, prompt: str) -> str:
        key = self._kept.key(clip.path, clip.range, clip.coverage, prompt)
        known = self._kept.get(key)
        if known is not None:
            return known
        if self._answerer is None:
            self._answerer = self._open()
        if clip is not self._clip:
            self._session = self._answerer.encode(clip)
            self._clip = clip
        answer = cleaned("".join(self._session.ask(prompt, self._options)))
        self._kept.put(key, answer)
        return answer


def _clip(question: Question, cut: bool) -> Clip:
    """What the question is about. Raises VideoError if the video must be opened for it and cannot be read."""
    path, part = question.path, question.part
    assert path is not None  # questions without a video are left out before
    if not cut or part == Part():
        return Clip(path)
    end_s = part.end_s
    if part.end_frame is not None:
        with open_reader(path, FrameSpec(side_px=1, fit="as-is")) as reader:
            starts_s = reader.starts_s
            end_s = float(starts_s[part.end_frame]) if part.end_frame < len(starts_s) else None
    return Clip(path, TimeRange(part.start_s, end_s))


def _protocol(known: QuestionSet, cut: bool) -> str:
    rules = [
        "prompts and letters as lmms-eval has them in February and March 2025",
        f"greedy, {known.max_new_tokens} new tokens",
        CUT if cut else WHOLE,
    ]
    if known.letter is None:
        rules += [
            "no judge was asked, so nothing here compares with the published figures, which a judge gave",
            "exact is the data set's own metric, normalised ignores case, punctuation and articles",
        ]
    elif known.mean_of_tasks:
        rules.append("mean over tasks")
    if known.name in ("egoschema", "nextqa-mc"):
        rules.append("answers without a letter are wrong, where the original draws one at random")
    return "; ".join(rules)
