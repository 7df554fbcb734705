"""`vidsearch export`: which hits, where the clips go, what is said; each mistake once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch
from video_samples import make_film, make_video


@pytest.fixture
def lines(tmp_path: Path) -> bytes:
    """Two moments of a film as JSON lines, as `query --jsonl` prints them."""
    film = make_film(tmp_path / "film.mp4", sounds=1)
    moments = ((1, 1.4, 2.0), (2, 0.0, 0.5))
    forms = [{"number": n, "path": str(film), "start_s": s, "end_s": e, "score": 0.5} for n, s, e in moments]
    return "".join(json.dumps(form) + "\n" for form in forms).encode()


def test_json_lines_become_clips_and_the_seconds_more_are_said(
    command: RunVidsearch, lines: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "clips"
    done = command("export", "-", "--to", out, input=lines)
    assert done.returncode == 0, done.stderr.decode()
    first, second = (line.split(b"\t") for line in done.stdout.splitlines())
    assert first[:2] + first[3:4] == [b"1", b"00:01.0", b"0.4"]
    assert os.fsdecode(first[4]) == str(out / "01_film_00-00-01.400_00-00-02.000.mp4")
    assert second[:1] + second[3:4] == [b"2", b"0.0"]
    assert done.stderr.decode() == (
        "1 clip begins up to 0.4 s early, at a key frame; --precise cuts to the frame and encodes anew.\n"
    )
    again = command("export", "-", "--to", out, input=lines)
    assert (again.returncode, again.stdout) == (2, b"")
    assert b"and 1 more would be overwritten" in again.stderr
    done = command("export", "-", "--to", out, "--precise", "--force", "--json", input=lines)
    told = json.loads(done.stdout)["clips"]
    assert [(clip["number"], clip["start_s"], clip["end_s"], clip["lead_s"]) for clip in told] == [
        (1, 1.4, 2.0, 0.0),
        (2, 0.0, 0.52, 0.0),
    ]
    assert done.stderr == b""


def test_numbers_and_ranges_name_hits_of_the_last_query(
    command: RunVidsearch, clips_library: Path, tmp_path: Path
) -> None:
    command("query", "a red square", "--all", "-k", "3")
    done = command("export", "3", "1-2,1", "--to", tmp_path / "clips")
    assert done.returncode == 0, done.stderr.decode()
    assert [line.split(b"\t")[0] for line in done.stdout.splitlines()] == [b"3", b"1", b"2"]
    assert sorted(path.name[:3] for path in (tmp_path / "clips").iterdir()) == ["01_", "02_", "03_"]
    done = command("export", "all", "--to", tmp_path / "others", "--audio", "drop", "--sort", "time")
    assert len(list((tmp_path / "others").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["x1", "--to", "out"], b"", "'x1' names no hits; write numbers and ranges (1-5,8), all, or -"),
        (["5-1", "--to", "out"], b"", "the range 5-1 is empty"),
        (["1-999999999", "--to", "out"], b"", "is longer than any result"),
        (["1"], b"", "say where the clips go: --to DIR, or write a --timeline"),
        (["1", "--json", "--timeline", "a.edl"], b"", "it goes with --to DIR"),
        (["-", "--to", "out"], b"", "No hit came from stdin"),
        (["-", "--to", "out"], b"[1]\n", "Line 1 of the hits is none"),
        (["-", "--to", "out"], b'\n{"path": "a", "start_s": 1}\n', "Line 2 of the hits is none"),
        (["-", "--to", "out"], b'{"path": "a", "start_s": 2, "end_s": 1}\n', "start_s is to be less than end_s"),
        (["-", "--to", "out"], b'{"path": "a", "start_s": NaN, "end_s": 1}\n', "start_s is to be less than end_s"),
        (["-", "--to", "out"], b'{"path": "a", "start_s": -1e300, "end_s": 1}\n', "no video is so long"),
        (["-", "--to", "out"], b'{"path": "a", "start_s": 0, "end_s": 1e300}\n', "no video is so long"),
        (["-", "--to", "out"], b'{"path": "a", "start_s": 0, "end_s": 1, "number": 1e999}\n', "Line 1 of the hits is"),
        (["-", "--to", "out"], b"[" * 100_000, "it is no JSON object"),
        (["-", "--to", "out"], b'{"path": 7, "start_s": 1, "end_s": 2}\n', "Line 1 of the hits is none"),
        (["-", "--to", "out"], b'{"hits": []}', "No hit came from stdin"),
        (["all", "--to", "out"], b"", "no query was made yet"),
    ],
)
def test_what_names_no_hits_is_one_sentence(
    command: RunVidsearch, clips_library: Path, arguments: list[str], given: bytes, said: str, tmp_path: Path
) -> None:
    done = command("export", *arguments, input=given, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in " ".join(done.stderr.decode().split())
    assert not (tmp_path / "out").exists()


def test_a_timeline_is_written_and_said(command: RunVidsearch, lines: bytes, tmp_path: Path) -> None:
    done = command("export", "-", "--timeline", tmp_path / "cut.edl", "--sort", "time", input=lines)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"2 moments in {tmp_path / 'cut.edl'}.\n"
    events = [line.split() for line in (tmp_path / "cut.edl").read_text().splitlines() if line[:1] == "0"]
    assert [event[4:6] for event in events] == [["00:00:00:00", "00:00:00:13"], ["00:00:01:10", "00:00:02:00"]]
    refused = command("export", "-", "--timeline", tmp_path / "cut.doc", input=lines)
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"name it cut.fcpxml" in refused.stderr


def test_a_supercut_is_written_and_said(command: RunVidsearch, lines: bytes, tmp_path: Path) -> None:
    done = command("export", "-", "--join", tmp_path / "cut.mp4", "--precise", input=lines)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"2 moments in {tmp_path / 'cut.mp4'}: 00:01.1.\n"
    done = command("export", "-", "--join", tmp_path / "copy.mp4", input=lines)
    assert b"0.4 s of them more, before key frames.\n" in done.stderr
    assert command("export", "-", "--join", tmp_path / "cut.avi", input=lines).returncode == 2


def test_a_picture_that_stands_long_is_not_taken_for_a_key_frame(command: RunVidsearch, tmp_path: Path) -> None:
    film = make_video(tmp_path / "slides.mp4", [0.0, 2.0, 4.0, 6.0])
    form = {"path": str(film), "start_s": 3.0, "end_s": 5.0}
    done = command("export", "-", "--to", tmp_path / "out", "--precise", input=json.dumps(form).encode())
    assert (done.returncode, done.stderr) == (0, b"")


def test_padding_beyond_any_video_is_wrong_usage(command: RunVidsearch, lines: bytes, tmp_path: Path) -> None:
    for kind in (["--to", tmp_path / "out"], ["--timeline", tmp_path / "cut.edl"], ["--join", tmp_path / "cut.mp4"]):
        done = command("export", "-", *kind, "--pad", "inf", input=lines)
        assert (done.returncode, b"less than or equal to 1000000000" in done.stderr) == (2, True)


@pytest.mark.parametrize("target", [("--to", "out"), ("--join", "out.mp4"), ("--timeline", "out.edl")])
def test_a_video_whose_disk_is_away_ends_with_3_and_what_to_do(
    target: tuple[str, str], command: RunVidsearch, lines: bytes, tmp_path: Path
) -> None:
    (tmp_path / "film.mp4").rename(tmp_path / "away.mp4")
    done = command("export", "-", target[0], tmp_path / target[1], input=lines)
    assert (done.returncode, done.stdout) == (3, b"")
    text = f"{tmp_path / 'film.mp4'} is not there now; plug its disk in, or index where it is now."
    assert done.stderr.decode() == f"vidsearch: {text}\n"


def test_names_that_are_not_text_reach_the_file(command: RunVidsearch, tmp_path: Path) -> None:
    film = tmp_path / os.fsdecode(b"-a\nb\xe9.mp4")
    film.write_bytes((CLIPS / "red-square-left.mp4").read_bytes())
    command("index", film)
    found = command("query", "a red square", "--all", "--jsonl")
    done = command("export", "-", "--to", tmp_path / "out", input=found.stdout)
    assert done.returncode == 0, done.stderr.decode()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["01_-a_b__00-00-00.000_00-00-04.000.mp4"]
