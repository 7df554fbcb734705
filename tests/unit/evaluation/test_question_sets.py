"""The layouts of the question sets, their authors' and the hubs', in small stand-ins; nothing is decoded here."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.question_sets import Part, read_questions

FIVE = ["clap", "sit", "lie", "run", "crawl"]


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_mvbench_has_a_file_a_task_and_names_that_repeat(tmp_path: Path) -> None:
    star = touch(tmp_path / "video" / "star" / "Charades_v1_480" / "ZS9XR.mp4")
    sta = touch(tmp_path / "video" / "sta" / "sta_video" / "ZS9XR.mp4")
    touch(tmp_path / "video" / "tvqa" / "frames_fps3_hq" / "s01e01_clip_00" / "00001.jpg")
    asked = {"question": "What happened?", "candidates": ["one", "two", "one"], "answer": "one"}
    write(tmp_path / "json" / "action_sequence.json", [{"video": "ZS9XR.mp4", **asked, "start": 3.5, "end": 9}])
    write(tmp_path / "json" / "action_localization.json", [{"video": "ZS9XR.mp4", **asked}])
    write(tmp_path / "json" / "episodic_reasoning.json", [{"video": "s01e01_clip_00", **asked, "fps": 3}])
    write(tmp_path / "json" / "object_shuffle.json", [{"video": "gone.mp4", **asked, "answer": "two"}])
    read = {question.task: question for question in read_questions("mvbench", tmp_path)}
    assert read["action_sequence"].path == star and read["action_localization"].path == sta
    assert read["episodic_reasoning"].path == tmp_path / "video" / "tvqa" / "frames_fps3_hq" / "s01e01_clip_00"
    assert read["object_shuffle"].path is None
    assert read["action_sequence"].truth == "A" and read["object_shuffle"].truth == "B"  # the first equal candidate
    assert read["action_sequence"].part == Part(3.5, 9.0) and read["object_shuffle"].part == Part()
    assert read["action_sequence"].prompt == (
        "Question:What happened?\nOption:\n(A) one\n(B) two\n(C) one\nOnly give the best option.\n"
    )


def test_egoschema_of_the_hub_and_of_its_authors(tmp_path: Path) -> None:
    video = touch(tmp_path / "hub" / "videos" / "0074f737.mp4")
    lettered = [f"{letter}. {option}" for letter, option in zip("ABCDE", FIVE, strict=True)]
    rows = [
        {
            "question_idx": "1",
            "question": "What does C do?",
            "video_idx": "0074f737",
            "option": lettered,
            "answer": "3",
        },
        {"question_idx": "2", "question": "And then?", "video_idx": "11", "option": lettered, "answer": None},
    ]
    write(tmp_path / "hub" / "Subset.json", rows)
    first, second = read_questions("egoschema", tmp_path / "hub")
    assert (first.truth, first.path, second.truth, second.path) == ("D", video, None, None)
    assert first.options == tuple(lettered)
    ending = "\nAnswer with the option's letter from the given choices directly."
    assert first.prompt == "What does C do?\n" + "\n".join(lettered) + ending

    own = {f"option {number}": option for number, option in enumerate(FIVE)}
    authors = [{"q_uid": name, "question": "What does C do?", **own} for name in ("0074f737", "11")]
    write(tmp_path / "authors" / "questions.json", authors)
    write(tmp_path / "authors" / "subset_answers.json", {"11": 4})
    third, fourth = read_questions("egoschema", tmp_path / "authors")
    assert (third.truth, fourth.truth) == (None, "E")
    assert third.prompt == first.prompt  # options get the letters that the hub's carry


def test_nextqa_is_a_csv(tmp_path: Path) -> None:
    video = touch(tmp_path / "NExTVideo" / "1164" / "3238737531.mp4")
    row = {"video": "3238737531", "frame_count": 900, "width": 640, "height": 480, "question": "why did he clap ",
           "answer": 3, "qid": 6, "type": "CW", **{f"a{n}": f" {option}" for n, option in enumerate(FIVE)}}  # fmt: skip
    write_csv(tmp_path / "val.csv", [{**row, "answer": 0}])
    write_csv(tmp_path / "test.csv", [row, {**row, "video": "1", "qid": 7, "type": "DL", "answer": 0}])
    first, second = read_questions("nextqa-mc", tmp_path)
    assert (first.truth, first.task, first.path) == ("D", "CW", video)
    assert (second.truth, second.task, second.path) == ("A", "DL", None)
    assert first.prompt == "why did he clap\nA. clap\nB. sit\nC. lie\nD. run\nE. crawl"


def test_perceptiontest_of_the_hub_and_of_its_authors(tmp_path: Path) -> None:
    video = touch(tmp_path / "videos" / "video_8241.mp4")
    hub = {"video_name": "video_8241", "question": "Where?", "question_id": 5, "options": ["in", "on", "under"],
           "answer_id": 2, "area": "physics", "reasoning": "descriptive", "tag": ["space"]}  # fmt: skip
    source = write(tmp_path / "hub.json", [hub])
    authors = {"video_8241": {"metadata": {}, "mc_question": [{**hub, "id": 5}]}, "video_1": {"mc_question": []}}
    write(tmp_path / "mc_question_valid.json", authors)
    write(tmp_path / "cut_frame_mapping_valid.json", {"video_8241": 40})
    (one,), (other,) = read_questions("perceptiontest", tmp_path, source), read_questions("perceptiontest", tmp_path)
    assert one == other and one.path == video
    assert (one.truth, one.task, one.part) == ("C", "physics", Part(end_frame=40))
    ending = "\nAnswer with the option's letter from the given choices directly."
    assert one.prompt == "Where?\nA. in\nB. on\nC. under" + ending


def test_mlvu_of_its_authors_and_of_the_hub(tmp_path: Path) -> None:
    video = touch(tmp_path / "video" / "1_plotQA" / "movie101_66.mp4")
    own = {"video": "movie101_66.mp4", "duration": 480, "question": "What colour?", "answer": "Red"}
    write(tmp_path / "json" / "1_plotQA.json", [{**own, "candidates": ["Blue", "Red"], "question_type": "plotQA"}])
    write(tmp_path / "json" / "9_summary.json", [{**own, "question_type": "summary"}])  # no choice: not of this test
    (first,) = read_questions("mlvu", tmp_path)
    assert (first.truth, first.task, first.path) == ("B", "plotQA", video)
    assert first.prompt == "\nWhat colour?\n(A) Blue\n(B) Red\nOnly give the best option.\n\nBest option: ("
    asked = "What colour?\n(A) Blue\n(B) Red"
    hub = {"video_name": "1_plotQA/movie101_66.mp4", "question": asked, "answer": "B", "task_type": "plotQA"}
    (second,) = read_questions("mlvu", tmp_path, write(tmp_path / "hub.jsonl", hub))
    assert (second.prompt, second.truth, second.path) == (first.prompt, "B", video)


def test_activitynet_qa_of_the_hub_and_of_its_authors(tmp_path: Path) -> None:
    video = touch(tmp_path / "all_test" / "v_1QIUV7WYKXg.mkv")
    asked = {"video_name": "1QIUV7WYKXg", "question": "is the man OLD", "question_id": "v_1_0"}
    answer = {"answer": "yes", "question_id": "v_1_0", "type": 3}
    write(tmp_path / "test_q.json", [asked])
    write(tmp_path / "test_a.json", [answer])
    write(tmp_path / "val_q.json", [{**asked, "question_id": "v_2_0"}])
    source = write(tmp_path / "hub.json", [{**asked, **answer, "type": "3"}])
    (one,), (other,) = read_questions("activitynet-qa", tmp_path), read_questions("activitynet-qa", tmp_path, source)
    assert one == other and one.path == video
    assert (one.id, one.truth, one.task) == ("v_1_0", "yes", "3")
    assert one.prompt == "Is the man old? Answer the question using a single word or phrase."


def test_records_of_a_csv_hold_lists_as_text(tmp_path: Path) -> None:
    row = {"video_name": "v", "question": "q", "question_id": 1, "options": "['a', 'b', 'c']", "answer_id": 1}
    write_csv(tmp_path / "any name.csv", [row])
    (question,) = read_questions("perceptiontest", tmp_path)
    assert question.options == ("a", "b", "c") and question.truth == "B"


def test_parquet_is_read_where_pyarrow_is_installed(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow, of the extra eval, is not installed")
    import pyarrow.parquet as parquet

    row = {"video_name": "v", "question": "q", "question_id": 1, "options": ["a", "b", "c"], "answer_id": 1}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "validation-00000-of-00001.parquet")
    (question,) = read_questions("perceptiontest", tmp_path)
    assert question.options == ("a", "b", "c") and question.truth == "B"


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("mvbench", "a.json", [{"video": "v"}], "holds no JSON, CSV or Parquet file of records with video, question"),
        (
            "mvbench",
            "a.json",
            [{"video": "v", "question": "q", "candidates": 3, "answer": "a"}],
            "are not as its author",
        ),
        (
            "mvbench",
            "a.json",
            [{"video": "v", "question": "q", "candidates": "", "answer": "a"}],
            "are not as its author",
        ),
        ("nextqa-mc", "a.txt", [], "holds no JSON, CSV or Parquet file"),
        ("activitynet-qa", "test_q.json", [{"video_name": "v", "question": "q", "question_id": "1"}], "no test_a.json"),
        ("vqa2", "a.json", [], "No question set is called 'vqa2'; choose one of mvbench"),
    ],
)
def test_data_in_another_form_are_named(tmp_path: Path, name: str, file: str, content: Any, message: str) -> None:
    write(tmp_path / file, content)
    with pytest.raises(VidsearchError, match=message):
        read_questions(name, tmp_path)


def test_texts_of_json_lines_hold_any_character(tmp_path: Path) -> None:
    record = {"video": "v", "question": "one\u2028two\x85three", "candidates": ["a", "b"], "answer": "a"}
    (tmp_path / "state_change.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    [question] = read_questions("mvbench", tmp_path)
    assert question.asked == record["question"]


def test_a_record_that_lacks_something_is_named(tmp_path: Path) -> None:
    good = {"video": "v", "question": "q", "candidates": ["a", "b"], "answer": "a"}
    source = write(tmp_path / "state_change.json", [good, {**good, "answer": None}])
    with pytest.raises(VidsearchError, match=r"state_change.json, record 2: a record needs video, question"):
        read_questions("mvbench", tmp_path, source)
    with pytest.raises(VidsearchError, match=r"state_change.json is not readable as json"):
        source.write_text("{")
        read_questions("mvbench", tmp_path, source)
    with pytest.raises(VidsearchError, match="There is no folder"):
        read_questions("mvbench", tmp_path / "nowhere")
