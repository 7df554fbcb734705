"""The benchmarks of questions about videos, read in the layouts in which their authors and hubs hand them out.

    mvbench          a file a task, action_sequence.json …: video, question, candidates, answer (its text), start, end
    egoschema        question_idx, question, video_idx, option, answer; or the authors' questions.json (q_uid,
                     "option 0" …) with subset_answers.json
    nextqa-mc        test.csv: video, question, answer (0 to 4), qid, type, a0 … a4
    perceptiontest   video_name, question, question_id, options, answer_id, area; or the authors' mc_question_valid.json
    mlvu             video, question, candidates, answer (its text), question_type; or video_name, question with its
                     options inside, answer (a letter), task_type
    activitynet-qa   video_name, question, question_id, answer, type; or the authors' test_q.json and test_a.json

Records are JSON, JSON lines, CSV or Parquet (`record_files.py`). Annotations and videos may lie anywhere below the
data folder.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidsearch.errors import VidsearchError
from vidsearch.evaluation import questions as rules
from vidsearch.evaluation.files import FilesBelow
from vidsearch.evaluation.record_files import Record, find_records, json_of, records_of

# Where MVBench's videos of a task lie: names repeat between tasks, of which two cut the same films otherwise.
_MVBENCH_FOLDERS: dict[str, tuple[str, ...]] = {
    "action_sequence": ("star",),
    "action_prediction": ("star",),
    "action_antonym": ("ssv2_video", "ssv2_video_mp4"),
    "fine_grained_action": ("Moments_in_Time_Raw",),
    "unexpected_action": ("FunQA_test",),
    "object_existence": ("clevrer",),
    "object_interaction": ("star",),
    "object_shuffle": ("perception",),
    "moving_direction": ("clevrer",),
    "action_localization": ("sta",),
    "scene_transition": ("scene_qa",),
    "action_count": ("perception",),
    "moving_count": ("clevrer",),
    "moving_attribute": ("clevrer",),
    "state_change": ("perception",),
    "fine_grained_pose": ("nturgbd", "nturgbd_convert"),
    "character_order": ("perception",),
    "egocentric_navigation": ("vlnqa",),
    "episodic_reasoning": ("tvqa",),
    "counterfactual_inference": ("clevrer",),
}
MVBENCH_TASKS = tuple(_MVBENCH_FOLDERS)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a video that the data set names: seconds, or the number of the frame at which it ends."""

    start_s: float | None = None
    end_s: float | None = None
    end_frame: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `truth` is a letter, or an answer in words; None: it is not public."""

    id: str
    video: str
    prompt: str  # all that follows the visual tokens
    truth: str | None
    options: tuple[str, ...] = ()  # as the rule for letters looks for them
    task: str = ""
    asked: str = ""  # the question alone
    part: Part = field(default_factory=Part)
    path: Path | None = None  # None: there is no such file


Read = Callable[[Path, Path | None], Iterable[Question]]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A benchmark: how its data are read, how long an answer may be, and how it is scored.

    `letter` finds the letter of an answer; None: answers are words. `mean_of_tasks`: the result is the mean over the
    tasks, of which there are `tasks_total`; else all questions count alike.
    """

    name: str
    read: Read
    letter: Callable[[str, Sequence[str]], rules.Extracted] | None
    max_new_tokens: int = 16
    mean_of_tasks: bool = False
    tasks_total: int = 0
    chance: float | None = None  # in percent


def question_set(name: str) -> QuestionSet:
    """The set of that name; VidsearchError with the names of all sets if there is none."""
    if name not in QUESTION_SETS:
        raise VidsearchError(f"No question set is called {name!r}; choose one of {', '.join(QUESTION_SETS)}.")
    return QUESTION_SETS[name]


def read_questions(name: str, data: Path, annotations: Path | None = None) -> list[Question]:
    """The questions of a set in the order of the annotations.

    VidsearchError if the set is unknown, or its data are missing or not as its authors hand them out.
    """
    known = question_set(name)
    if not data.is_dir():
        raise VidsearchError(f"There is no folder {data}; give the folder of the videos of {name} with --data.")
    try:
        read = list(known.read(data, annotations))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, SyntaxError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise VidsearchError(f"The records of {name} are not as its authors hand them out ({reason}).") from error
    return read


def _mvbench(data: Path, annotations: Path | None) -> Iterator[Question]:
    files = FilesBelow(data)
    wanted = "video, question, candidates and answer"
    for source, records in find_records(data, annotations, _has("video", "question", "candidates", "answer"), wanted):
        for number, record in enumerate(records):
            task = str(record.get("task_type") or record.get("task") or source.stem).replace(" ", "_").lower()
            options = _texts(record["candidates"])
            yield Question(
                id=f"{task}/{number}",
                video=str(record["video"]),
                prompt=rules.mvbench_prompt(record["question"], options),
                truth=_letter_of(str(record["answer"]), options),
                options=options,
                task=task,
                asked=record["question"],
                part=Part(_number(record.get("start")), _number(record.get("end"))),
                path=files.find(str(record["video"]), (*_MVBENCH_FOLDERS.get(task, ()), task), frames=True),
            )


def _egoschema(data: Path, annotations: Path | None) -> Iterator[Question]:
    files = FilesBelow(data)

    def fits(record: Record) -> bool:
        return _has("question", "video_idx", "option")(record) or _has("question", "q_uid", "option 0")(record)

    seen: dict[str, Question] = {}
    for source, records in find_records(data, annotations, fits, "question, video_idx and option"):
        public = _public_answers(source.parent)
        for record in records:
            question = _egoschema_question(record, public, files)
            if question.id not in seen or seen[question.id].truth is None:
                seen[question.id] = question
    yield from seen.values()


def _egoschema_question(record: Record, public: Mapping[str, Any], files: FilesBelow) -> Question:
    official = "q_uid" in record
    video = str(record["q_uid" if official else "video_idx"])
    options = tuple(str(record[f"option {n}"]) for n in range(5)) if official else _texts(record["option"])
    lettered = tuple(
        option if option.strip().startswith(f"{letter}.") else f"{letter}. {option}"
        for letter, option in zip(rules.FIVE, options, strict=True)
    )
    answer = public.get(video) if record.get("answer") in (None, "", -1) else record["answer"]
    return Question(
        id=f"{video}/{record['question']}",
        video=video,
        prompt=rules.egoschema_prompt(record["question"], lettered),
        truth=None if answer is None or int(answer) < 0 else rules.FIVE[int(answer)],
        options=lettered,
        asked=record["question"],
        path=files.find(video),
    )


def _public_answers(folder: Path) -> Mapping[str, Any]:
    """The authors' file of the 500 public answers, {video: 0 to 4}; {} without one."""
    source = folder / "subset_answers.json"
    return json_of(source) if source.is_file() else {}


def _nextqa(data: Path, annotations: Path | None) -> Iterator[Question]:
    files = FilesBelow(data)
    columns = ("video", "question", "answer", *(f"a{n}" for n in range(5)))
    for source, records in _split(find_records(data, annotations, _has(*columns), ", ".join(columns)), "test"):
        for number, record in enumerate(records):
            options = tuple(str(record[f"a{n}"]).strip() for n in range(5))
            video = str(record["video"])
            yield Question(
                id=f"{source.stem}/{number}",
                video=video,
                prompt=rules.nextqa_prompt(str(record["question"]), options),
                truth=rules.FIVE[int(record["answer"])],
                options=options,
                task=str(record.get("type") or ""),
                asked=str(record["question"]),
                path=files.find(video),
            )


def _perceptiontest(data: Path, annotations: Path | None) -> Iterator[Question]:
    files = FilesBelow(data)
    cuts = _cut_frames(data)
    for record in _perceptiontest_records(data, annotations):
        video, options = str(record["video_name"]), _texts(record["options"])
        yield Question(
            id=f"{video}/{record['question_id']}",
            video=video,
            prompt=rules.perceptiontest_prompt(record["question"], options),
            truth=string.ascii_uppercase[int(record["answer_id"])],
            options=options,
            task=str(record.get("area") or ""),
            asked=record["question"],
            part=Part(end_frame=cuts.get(video)),
            path=files.find(video),
        )


def _perceptiontest_records(data: Path, annotations: Path | None) -> Iterator[Record]:
    """Hub records; or the authors' {video: {"mc_question": [{"id", …}]}}."""
    sources = [annotations] if annotations is not None and annotations.is_file() else sorted(data.rglob("*valid*.json"))
    for source in sources:
        content = json_of(source) if source.suffix == ".json" else None
        if isinstance(content, dict) and any(isinstance(v, dict) and "mc_question" in v for v in content.values()):
            for video, own in content.items():
                for question in own.get("mc_question", []):
                    yield {**question, "video_name": video, "question_id": question["id"]}
            return
    wanted = ("video_name", "question", "question_id", "options", "answer_id")
    for _, records in find_records(data, annotations, _has(*wanted), ", ".join(wanted)):
        yield from records


def _cut_frames(data: Path) -> Mapping[str, int]:
    found = sorted(data.rglob("cut_frame_mapping*.json"))
    return {str(video): int(frame) for video, frame in json_of(found[0]).items()} if found else {}


def _mlvu(data: Path, annotations: Path | None) -> Iterator[Question]:
    files = FilesBelow(data)

    def fits(record: Record) -> bool:
        official = _has("video", "question", "candidates", "answer", "question_type")(record)
        return official or _has("video_name", "question", "answer", "task_type")(record)

    wanted = "video, question, candidates, answer and question_type"
    for source, records in find_records(data, annotations, fits, wanted):
        for number, record in enumerate(records):
            video = str(record["video_name"] if "video_name" in record else record["video"])
            task = str(record["task_type"] if "task_type" in record else record["question_type"])
            asked, truth = str(record["question"]), str(record["answer"])
            options = _texts(record["candidates"]) if "candidates" in record else ()
            if options:
                asked = "\n".join([asked, *(f"({x}) {o}" for x, o in zip(rules.FIVE, options, strict=False))])
                truth = _letter_of(truth, options) or truth
            yield Question(
                id=f"{source.stem}/{number}",
                video=video,
                prompt=rules.mlvu_prompt(asked),
                truth=truth.strip(),
                options=options,
                task=task,
                asked=asked,
                path=files.find(video, (source.stem,)),
            )


def _activitynet_qa(data: Path, annotations: Path | None) -> Iterator[Question]:
    files = FilesBelow(data)
    for record in _activitynet_records(data, annotations):
        video = str(record["video_name"])
        yield Question(
            id=str(record["question_id"]),
            video=video,
            prompt=rules.activitynet_qa_prompt(str(record["question"])),
            truth=str(record["answer"]),
            task=str(record.get("type", "")),
            asked=str(record["question"]),
            path=files.find(f"v_{video}") or files.find(video),
        )


def _activitynet_records(data: Path, annotations: Path | None) -> Iterator[Record]:
    """Records with their answers; or the authors' test_q.json, whose answers are in test_a.json beside it."""
    asked = _has("video_name", "question", "question_id")
    found = find_records(data, annotations, asked, "video_name, question and question_id")
    for source, records in _split(found, "test"):
        if all("answer" in record for record in records):
            yield from records
            continue
        answers = {str(own["question_id"]): own for own in records_of(_beside(source))}
        for record in records:
            yield {**record, **answers[str(record["question_id"])]}


def _beside(source: Path) -> Path:
    """The file of answers beside one of questions: test_a.json beside test_q.json."""
    answers = source.with_name(source.name.replace("_q.", "_a."))
    if answers == source or not answers.is_file():
        raise VidsearchError(f"{source} has no answers, and there is no {answers.name} with them beside it.")
    return answers


def _split(found: list[tuple[Path, list[Record]]], part: str) -> list[tuple[Path, list[Record]]]:
    """Of files of several parts of a data set those of one; all if none is named so."""
    named = [(source, records) for source, records in found if part in source.stem.lower()]
    return named or found


def _has(*names: str) -> Callable[[Record], bool]:
    return lambda record: all(record.get(name) is not None for name in names)


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts; from a CSV one that is written as Python or JSON writes it."""
    if isinstance(value, str):
        value = ast.literal_eval(value)
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"no list of options: {value!r}")
    return tuple(str(each) for each in value)


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _letter_of(answer: str, options: Sequence[str]) -> str | None:
    """The letter of the first option that is equal to the answer."""
    return string.ascii_uppercase[options.index(answer)] if answer in options else None


def _alone(letter: Callable[[str], rules.Extracted]) -> Callable[[str, Sequence[str]], rules.Extracted]:
    return lambda output, options: letter(output)


QUESTION_SETS = {
    each.name: each
    for each in (
        QuestionSet("mvbench", _mvbench, _alone(rules.mvbench_letter), mean_of_tasks=True, tasks_total=20),
        QuestionSet("egoschema", _egoschema, rules.egoschema_letter, chance=20.0),
        QuestionSet("nextqa-mc", _nextqa, rules.nextqa_letter, chance=20.0),
        QuestionSet("perceptiontest", _perceptiontest, _alone(rules.perceptiontest_letter), chance=100 / 3),
        QuestionSet("mlvu", _mlvu, _alone(rules.mlvu_letter), mean_of_tasks=True, tasks_total=7, chance=25.0),
        QuestionSet("activitynet-qa", _activitynet_qa, None, max_new_tokens=64),
    )
}
