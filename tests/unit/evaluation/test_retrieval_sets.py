"""The official layouts of the retrieval benchmarks, in small stand-ins; nothing is decoded here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.retrieval_sets import Listed, read_set


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_msrvtt(tmp_path: Path) -> None:
    video = touch(tmp_path / "videos" / "all" / "video8123.mp4")
    (tmp_path / "MSRVTT_JSFUSION_test.csv").write_text(
        "key,vid_key,video_id,sentence\n"
        'ret0,msr8123,video8123,"a man folds, slowly, a paper plane"\n'
        "ret1,msr9,video9,a dog\n"
    )
    assert read_set("msrvtt-1ka", tmp_path) == [
        Listed("video8123", ("a man folds, slowly, a paper plane",), video),
        Listed("video9", ("a dog",), None),
    ]


def test_didemo_joins_a_videos_descriptions_and_finds_any_ending(tmp_path: Path) -> None:
    first = touch(tmp_path / "12@N00_34_ab.mov.mp4")
    second = touch(tmp_path / "videos" / "77@N01_5_cd.avi")
    third = touch(tmp_path / "videos" / "88@N02_6_ef.m4v")
    said = [
        ("12@N00_34_ab.mov", "a dog jumps"),
        ("77@N01_5_cd.", "a cat\n"),
        ("12@N00_34_ab.mov", "it lands"),
        ("88@N02_6_ef.mov", "a bird"),
    ]
    records = [
        {"annotation_id": number, "video": video, "description": text, "times": [[2, 2]], "num_segments": 6}
        for number, (video, text) in enumerate(said)
    ]
    (tmp_path / "test_data.json").write_text(json.dumps(records))
    assert read_set("didemo", tmp_path) == [
        Listed("12@N00_34_ab.mov", ("a dog jumps it lands",), first),
        Listed("77@N01_5_cd.", ("a cat",), second),
        Listed("88@N02_6_ef.mov", ("a bird",), third),
    ]


def test_activitynet_joins_the_sentences(tmp_path: Path) -> None:
    video = touch(tmp_path / "v_abc.webm")
    record = {"duration": 82.7, "timestamps": [[0, 9.1], [9, 20]], "sentences": ["A man sits.", " He stands up."]}
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions" / "val_1.json").write_text(json.dumps({"v_abc": record}))
    assert read_set("activitynet", tmp_path) == [Listed("v_abc", ("A man sits. He stands up.",), video)]


def test_lsmdc_has_tabs_and_no_header(tmp_path: Path) -> None:
    name = "0001_American_Beauty_00.00.51.926-00.00.54.129"
    video = touch(tmp_path / "avi" / "0001_American_Beauty" / f"{name}.avi")
    row = [name, "00.00.51.926", "00.00.54.129", "00.00.51.815", "00.00.54.340", 'SOMEONE says "no", twice.']
    (tmp_path / "LSMDC16_challenge_1000_publictect.csv").write_text("\t".join(row) + "\n")
    assert read_set("lsmdc", tmp_path) == [Listed(name, ('SOMEONE says "no", twice.',), video)]


def test_a_folder_keeps_captions_apart(tmp_path: Path) -> None:
    video = touch(tmp_path / "day 1" / "a.mp4")
    rows = [{"file": "day 1/a.mp4", "caption": text} for text in ("one", "two\u2028lines")] + [
        {"file": "b.mp4", "caption": "three"}
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    assert read_set("folder", tmp_path) == [
        Listed("day 1/a.mp4", ("one", "two\u2028lines"), video),
        Listed("b.mp4", ("three",), None),
    ]


def test_internvideo2s_list_serves_every_set(tmp_path: Path) -> None:
    video = touch(tmp_path / "video1.mp4")
    given = tmp_path / "given.json"
    given.write_text(json.dumps([{"video": "video1.mp4", "caption": ["first", "second"]}]))
    assert read_set("msrvtt-1ka", tmp_path, given) == [Listed("video1.mp4", ("first", "second"), video)]
    assert read_set("activitynet", tmp_path, given) == [Listed("video1.mp4", ("first second",), video)]
    assert read_set("folder", tmp_path, given) == [Listed("video1.mp4", ("first", "second"), video)]


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("msrvtt-1ka", "MSRVTT_JSFUSION_test.csv", "key,video\nret0,video1\n"),
        ("msrvtt-1ka", "MSRVTT_JSFUSION_test.csv", "key,vid_key,video_id,sentence\nret0,msr1,video1\n"),
        ("didemo", "test_data.json", '{"video": "a"}'),
        ("didemo", "test_data.json", "[1, 2]"),
        ("activitynet", "val_1.json", "not json"),
        ("activitynet", "val_1.json", "[" * 99_999),
        ("lsmdc", "LSMDC16_challenge_1000_publictect.csv", "name,with,commas\n"),
    ],
)
def test_a_file_in_another_form_is_refused(tmp_path: Path, name: str, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(VidsearchError, match=f"{file} is not as the authors of {name} hand it out"):
        read_set(name, tmp_path)
