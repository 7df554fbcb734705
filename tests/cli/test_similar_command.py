"""`vidsearch similar`, `vidsearch duplicates`, and hits grouped by their video."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from json_schemas import follows
from support import CLIPS, RunVidsearch, run_on_terminal

from vidsearch.cli.show import size_text


def hits(command: RunVidsearch, *arguments: str | Path) -> list[dict[str, Any]]:
    done = command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["hits"]


def test_what_is_similar_to_a_clip_is_not_the_clip_itself(clips_library: Path, command: RunVidsearch) -> None:
    star = CLIPS / "yellow-star-blinks.mp4"
    found = hits(command, "similar", star, "-k", "3")
    assert all(hit["path"] != str(star) for hit in found)
    assert "yellow-star" in found[0]["path"]
    by_number = hits(command, "query", f"like:{star}", "-k", "1")
    assert by_number[0]["path"] == str(star)
    assert [hit["path"] for hit in hits(command, "similar", "1", "-k", "3")] == [hit["path"] for hit in found]


def test_a_part_of_a_long_video_is_similar_to_its_other_parts(clips_library: Path, command: RunVidsearch) -> None:
    long = CLIPS / "long-five-events.mp4"
    found = hits(command, "similar", f"{long}@0-4", "--under", long)
    assert found and all(hit["start_s"] >= 4 or hit["end_s"] <= 0 for hit in found)
    assert command("similar", long, "--under", long).returncode == 1


def test_similar_refuses_what_is_nothing(clips_library: Path, command: RunVidsearch) -> None:
    done = command("similar", "7")
    assert (done.returncode, done.stdout) == (2, b"") and b"There is no hit 7" in done.stderr
    done = command("similar", CLIPS / "none.mp4")
    assert (done.returncode, done.stdout) == (3, b"")
    assert (
        done.stderr.decode() == f"vidsearch: There is no {CLIPS / 'none.mp4'}; give a picture or a video that exists.\n"
    )
    assert command("similar", f"{CLIPS / 'long-five-events.mp4'}@9-3").returncode == 2


def test_a_line_a_video_has_its_moments_with_their_numbers(clips_library: Path, command: RunVidsearch) -> None:
    query = ("query", "a red square", "--group", "video", "-k", "2", "--all")
    lines = [line.split("\t") for line in command(*query).stdout.decode().splitlines()]
    assert len(lines) == 2
    answer = json.loads(command(*query, "--json").stdout)
    assert [group["path"] for group in answer["videos"]] == [line[4] for line in lines]
    numbers = [number for group in answer["videos"] for number in group["hits"]]
    assert sorted(numbers) == [hit["number"] for hit in answer["hits"]]
    assert lines[0][3].startswith(f"{answer['videos'][0]['hits'][0]}: ")
    assert command(*query, "--ask", "what?", "--ask-model", "mobilevideogpt-nano").returncode == 2


def test_copies_are_listed_with_their_sizes_and_left_alone(
    tmp_path: Path, own_home: Path, command: RunVidsearch
) -> None:
    clip = CLIPS / "yellow-star-blinks.mp4"
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("one.mp4", "two.mp4"):
        shutil.copy(clip, videos / name)
    shutil.copy(CLIPS / "red-square-left.mp4", videos)
    assert command("index", videos).returncode == 0
    done = command("duplicates")
    size = clip.stat().st_size
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [(line[0], line[1], line[4], line[5]) for line in lines] == [
        ("1", str(size), "100", str(videos / "one.mp4")),
        ("1", str(size), "bytes", str(videos / "two.mp4")),
    ]
    assert f"each take {size_text(size)}. Nothing was deleted." in done.stderr.decode()
    done = command("duplicates", "--json")
    [group] = follows("duplicates", done.stdout)["groups"]
    files = group["files"]
    assert [(file["path"], file["same_bytes"], file["share"]) for file in files] == [
        (str(videos / "one.mp4"), False, 1.0),
        (str(videos / "two.mp4"), True, 1.0),
    ]
    (videos / "two.mp4").unlink()
    (videos / "two.mp4").hardlink_to(videos / "one.mp4")
    done = command("duplicates")
    assert len(done.stdout.splitlines()) == 2
    assert b"all but the first file of each take 0 B." in done.stderr
    words = (sys.executable, "-m", "vidsearch", "duplicates")
    code, shown = run_on_terminal(words, b"", {"TERM": "xterm-256color", "COLUMNS": "200"})
    assert code == 0 and "videos compared" in shown and "3/3" in shown
    none = command("duplicates", "--under", videos / "red-square-left.mp4")
    assert (none.returncode, none.stdout, none.stderr) == (1, b"", b"No two files show the same.\n")
    assert sorted(path.name for path in videos.iterdir()) == ["one.mp4", "red-square-left.mp4", "two.mp4"]
