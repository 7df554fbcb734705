"""`vidsearch query`: what is said about words and places that cannot be searched for, and which hits are kept."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from support import CLIPS, PROGRAM, RunVidsearch, environment, run_on_terminal, run_vidsearch


@pytest.mark.parametrize("words", ["the of a", "The", "?!", "and then: it is"])
def test_words_without_content_are_refused_alike(words: str, clips_library: Path, command: RunVidsearch) -> None:
    done = command("query", words, "--json")
    assert (done.returncode, json.loads(done.stdout)["hits"]) == (1, [])
    assert b"The query has no word that says what to look for.\n" in done.stderr


def test_what_a_model_does_not_read_is_told(clips_library: Path, command: RunVidsearch) -> None:
    long = "a red square " * 30
    done = command("query", f"{long}moving left", "--json")
    assert done.stderr.startswith(
        b"vidsearch: The query is too long for mobileviclip-nano; it searches without: a red square a red"
    )
    assert done.stderr.splitlines()[0].endswith(b" moving left")
    assert b"too long" not in command("query", "a red square " * 25).stderr


@pytest.mark.parametrize("options", [(), ("--json",), ("-f",)])
def test_a_place_that_the_library_does_not_know_is_told(
    options: tuple[str, ...], clips_library: Path, command: RunVidsearch
) -> None:
    done = command("query", "red", "--under", "/no/such/place", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"vidsearch: The library holds nothing under /no/such/place; see vidsearch videos.\n"
    listed = command("videos", "--under", "/no/such/place")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, b"", done.stderr)
    assert command("query", "red", "--under", CLIPS, "--min-score", "0.999").returncode == 1


def test_a_terminal_gets_no_header_without_a_line_below_it(clips_library: Path) -> None:
    code, shown = run_on_terminal([*PROGRAM, "query", "a zebra"], b"")
    assert code == 1
    assert "score" not in shown and "Nothing found" in shown


def test_info_names_the_model_that_a_query_takes(clips_library: Path, command: RunVidsearch) -> None:
    assert json.loads(command("info", "--json").stdout)["default_model"] == "mobileviclip-nano"
    env = {"VIDSEARCH_MODEL": ""}
    assert b"default model\tmobileviclip-small\n" in command("info", env=env).stdout


@pytest.fixture
def unwritable(clips_library: Path) -> Iterator[Path]:
    """A library that nobody may write to."""
    modes = {path: path.stat().st_mode for path in (*clips_library.iterdir(), clips_library)}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield clips_library
    for path, mode in modes.items():
        path.chmod(mode)


def as_anybody(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The program without root's right to write everywhere."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from support import drop_override\n"
        "drop_override()\n"
        "from vidsearch.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=120)


def test_a_library_that_cannot_be_written_keeps_no_numbers_and_says_so(
    clips_library: Path, command: RunVidsearch, request: pytest.FixtureRequest
) -> None:
    assert command("query", "two purple circles").returncode == 0  # an older query, whose hits are kept
    request.getfixturevalue("unwritable")
    done = as_anybody("query", "a yellow star blinks", "-k", "2")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 2)
    said = b"vidsearch: The library cannot be written, so ask knows no numbers of these hits; name a file.\n"
    assert said in done.stderr
    asked = as_anybody("ask", "1", "what?", "--model", "mobilevideogpt-nano")
    assert (asked.returncode, asked.stdout) == (4, b"")
    assert b"cannot be written, so it keeps no hits: name the file\n" in asked.stderr


def test_a_narrow_terminal_breaks_no_time_and_loses_no_path_and_paths_start_at_the_current_folder(
    clips_library: Path, tmp_path: Path
) -> None:
    command = ["sh", "-c", 'cd "$0" && stty cols 40 && exec "$@"', str(CLIPS.parent), *PROGRAM]
    code, shown = run_on_terminal([*command, "query", "a yellow star blinks", "-k", "1"], b"")
    assert code == 0
    row = next(line.split() for line in shown.replace("\r", "").splitlines() if line.startswith("1 "))
    assert row[2:5] == ["high", "00:00.0", "00:04.0"]
    wide = [*command[:2], 'cd "$0" && stty cols 100 && exec "$@"', *command[3:]]
    shown = run_on_terminal([*wide, "query", "a yellow star blinks", "-k", "1"], b"")[1]
    assert shown.splitlines()[1].split()[-1] == "clips/yellow-star-blinks.mp4"
    narrow = [*command[:2], 'cd "$0" && stty cols 20 && exec "$@"', *command[3:]]
    code, shown = run_on_terminal([*narrow, "query", "a yellow star blinks", "-k", "1"], b"")
    lines = shown.replace("\r", "").splitlines()
    assert code == 0 and len(lines) >= 4, shown
    best, times, path, rest = lines[-4:]
    assert (best.split()[::2], times.split()) == (["1", "high"], ["00:00.0", "00:04.0"])
    assert path + rest == "clips/yellow-star-blinks.mp4"


def paths(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return [Path(hit["path"]).name for hit in json.loads(done.stdout)["hits"]]


def test_pieces_and_options_say_the_same(clips_library: Path, command: RunVidsearch) -> None:
    by_pieces = command("query", "a red square", "--json", "--all", "--", "0.5:moving left", "-a yellow star")
    by_options = command(
        "query", "a red square", "--add", "0.5:moving left", "--subtract", "a yellow star", "--json", "--all"
    )
    assert by_pieces.stdout == by_options.stdout
    answer = json.loads(by_pieces.stdout)
    assert answer["query"] == "a red square + moving left - a yellow star"
    assert answer["written"] == 'a red square 0.5:"moving left" -"a yellow star"'
    assert paths(by_pieces) and all("yellow-star" not in name for name in paths(by_pieces))


def test_a_mistake_in_a_query_is_shown_with_a_caret(clips_library: Path, command: RunVidsearch) -> None:
    done = command("query", "red", "--", "since:2025-13")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == (
        "vidsearch: since: there is no date 2025-13; write year-month-day, as in 2025-07-14.\n"
        "  since:2025-13\n"
        "        ^^^^^^^\n"
    )
    done = command("query", "red", "--since", "2025-13")
    assert done.returncode == 2 and b"there is no date 2025-13" in done.stderr


@pytest.mark.parametrize("pieces", [["-red"], ["--subtract", "red"]])
def test_a_query_that_only_avoids_is_refused(pieces: list[str], clips_library: Path, command: RunVidsearch) -> None:
    done = command("query", *(pieces if len(pieces) > 1 else ["--", *pieces]))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"says what to avoid and not what to look for" in done.stderr


def test_filters_choose_the_videos(clips_library: Path, command: RunVidsearch) -> None:
    done = command("query", "a red square", "--name", "red-*", "--ext", ".MP4", "--all", "--json")
    assert paths(done) and all(name.startswith("red-") for name in paths(done))
    assert command("query", "a red square", "--name", "zebra*").returncode == 1
    two = command("query", "a", "red", "square", "--under", CLIPS / "red-square-left.mp4", "--under",
                  CLIPS / "red-square-right.mp4", "--all", "--json")  # fmt: skip
    assert sorted(paths(two)) == ["red-square-left.mp4", "red-square-right.mp4"]
    long = command("query", "a red square", "--min-duration", "10", "--all", "--json")
    assert {name.split("-")[0] for name in paths(long)} == {"long"}


def test_hits_are_sorted_as_asked(clips_library: Path, command: RunVidsearch) -> None:
    names = paths(command("query", "a red square", "--sort", "name", "--all", "--json"))
    assert names == sorted(names) != paths(command("query", "a red square", "--all", "--json"))


def test_verbose_says_where_a_date_is_from(clips_library: Path, command: RunVidsearch) -> None:
    done = run_vidsearch("-v", "query", "a red square", "-k", "1", "--since", "2000")
    assert b"hit 1: 20" in done.stderr and b"the time of its file" in done.stderr


def test_a_query_is_like_a_clip_a_hit_and_a_picture(clips_library: Path, command: RunVidsearch, tmp_path: Path) -> None:
    star = CLIPS / "yellow-star-blinks.mp4"
    done = command("query", "--like", star, "-k", "2", "--json")
    hit = json.loads(done.stdout)["hits"][0]
    assert (hit["path"], round(hit["score"], 2), hit["level"]) == (str(star), 1.0, None)
    assert paths(command("query", "--like", "1", "-k", "1", "--json")) == [star.name]
    picture = tmp_path / "star.png"
    with av.open(str(star)) as container:
        frame = next(container.decode(video=0))
        with av.open(str(picture), "w", format="image2") as out:
            stream = out.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "rgb24"
            out.mux(stream.encode(frame.reformat(format="rgb24")))
            out.mux(stream.encode())
    assert "yellow-star" in paths(command("query", f"like:{picture}", "-k", "1", "--json"))[0]
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(star.read_bytes())
    done = command("query", f"like:{copy}@0-3", "-k", "1", "--json")
    assert "yellow-star" in paths(done)[0]
    done = command("query", f"like:{tmp_path / 'none.png'}")
    assert done.returncode == 3 and b"none.png; give a picture or a video that exists" in done.stderr


def test_a_library_of_an_earlier_version_learns_dates_without_decoding(
    tmp_path: Path, own_home: Path, command: RunVidsearch
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    with av.open(str(CLIPS / "red-square-left.mp4")) as source, av.open(str(videos / "clip.mp4"), "w") as target:
        target.metadata["creation_time"] = "2024-02-29T12:00:00Z"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert command("index", videos).returncode == 0

    def hit() -> dict[str, object]:
        return json.loads(command("query", "a red square", "--all", "--json").stdout)["hits"][0]

    assert (hit()["date"], hit()["date_from"]) == ("2024-02-29T12:00:00+00:00", "container")
    with sqlite3.connect(own_home / "library.sqlite3") as connection:  # as an earlier version left it
        connection.execute("UPDATE videos SET recorded_s = NULL, dated = 0")
    connection.close()
    assert hit()["date_from"] == "file"
    done = json.loads(command("index", videos, "--json").stdout)
    assert (done["indexed"], done["unchanged"]) == ([], 1)
    assert hit()["date_from"] == "container"
    assert command("query", "a red square", "--since", "2024-02-29", "--until", "2024-02-29", "--all").returncode == 0
    assert command("query", "a red square", "--since", "2024-03", "--all").returncode == 1
