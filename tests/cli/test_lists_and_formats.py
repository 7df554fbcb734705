"""Lines as the user writes them, lists that other programs write, and many queries with one load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch

STAR, SQUARE = CLIPS / "blue-circle-overtakes-white-star.mp4", CLIPS / "red-square-left.mp4"


@pytest.fixture
def env(clips_library: Path) -> dict[str, str]:
    return {"VIDSEARCH_HOME": str(clips_library)}


def test_a_line_is_printed_as_written(command: RunVidsearch, env: dict[str, str]) -> None:
    pattern = r"{number}:{name}\t{start_s:.2f} {{x}}\\"
    told = command("query", "a red square moving left", "-k", "1", "--format", pattern, env=env)
    assert told.stdout.decode() == f"1:{SQUARE.name}\t0.00 {{x}}\\\n"
    ended = command("query", "a red square moving left", "-k", "1", "--format", r"{path}\0", env=env)
    assert ended.stdout == bytes(SQUARE) + b"\0"
    times = ("--format", "{start}", "--time-format", "seconds")
    assert command("query", "a red square moving left", "-k", "1", *times, env=env).stdout == b"0.000\n"
    like = command("similar", SQUARE, "-k", "1", "--format", "{folder}", env=env)
    assert like.stdout.decode() == f"{CLIPS}\n"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("{nam}", "{nam} is not a field of a hit; did you mean {name}?"),
        ("{path.parent}", "{path.parent} is not a field of a hit"),
        ("{0}", "{0} is not a field of a hit; known are number, score"),
        ("{score:d}", "{score:d}: Unknown format code"),
        ("{path!r}", "{path} takes a plain format, as in {score:.2f}"),
        ("{path", "expected '}' before end of string; write {{ for a brace"),
    ],
)
def test_a_pattern_that_says_nothing_is_told(command: RunVidsearch, pattern: str, says: str) -> None:
    told = command("query", "a star", "--format", pattern)
    assert told.returncode == 2
    assert says in told.stderr.decode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
def test_what_a_list_names_is_indexed(command: RunVidsearch, tmp_path: Path, end: str) -> None:
    listed = f"{STAR}{end}{SQUARE}{end}".encode()
    null = ("-0",) if end == "\0" else ()
    told = command("index", "--files-from", "-", *null, "--json", input=listed)
    assert told.returncode == 0, told.stderr
    assert {item["path"] for item in json.loads(told.stdout)["indexed"]} == {str(STAR), str(SQUARE)}
    (tmp_path / "list").write_bytes(listed)
    found = command("query", "a square", "--all", "--under-from", tmp_path / "list", "--format", "{path}")
    assert set(found.stdout.decode().split()) == {str(STAR), str(SQUARE)}
    (tmp_path / "list").write_text(str(STAR), "utf-8-sig")  # as editors of Windows write it
    found = command("query", "a square", "--all", "--under-from", tmp_path / "list", "--format", "{path}")
    assert found.stdout.decode().split() == [str(STAR)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("index",), 2, "name the folders or files to index"),
        (("index", ".", "-0"), 2, "-0 goes with --files-from"),
        (("index", "--files-from", "-"), 2, "lists nothing to index"),
        (("index", "--files-from", "nowhere"), 2, "The list nowhere cannot be read (No such file or directory)."),
        (("query", "a", "--under-from", "-"), 2, "lists no place to search"),
        (("query", "a", "--queries", "-"), 2, "leave out TEXT"),
        (("query", "--queries", "-", "-f"), 2, "prints one JSON object a query"),
    ],
)
def test_a_list_that_says_nothing_is_told(
    command: RunVidsearch, arguments: tuple[str, ...], code: int, says: str
) -> None:
    told = command(*arguments, input=b"\n\n")
    assert told.returncode == code
    assert says in told.stderr.decode()


def test_a_byte_order_mark_is_no_part_of_a_query_on_stdin(command: RunVidsearch, env: dict[str, str]) -> None:
    told = command("query", "-", "--json", "-k", "1", env=env, input="\ufeffa star\r\n".encode())
    assert json.loads(told.stdout)["query"] == "a star", told.stderr


def test_many_queries_are_answered_in_their_order(command: RunVidsearch, env: dict[str, str]) -> None:
    lines = "a red square moving left top:1\n\na star -square\n"
    told = command("query", "--queries", "-", "--all", "--under", CLIPS, env=env, input=lines.encode())
    assert told.returncode == 0, told.stderr
    first, second = (json.loads(line) for line in told.stdout.splitlines())
    assert [hit["path"] for hit in first["hits"]] == [str(SQUARE)]
    assert second["written"].startswith("a star -square")
    alone = json.loads(command("query", "a red square moving left", "-k", "1", "--all", "--json", env=env).stdout)
    assert alone["hits"] == first["hits"]


def test_a_line_that_is_no_query_is_named_before_any_is_answered(command: RunVidsearch, env: dict[str, str]) -> None:
    told = command("query", "--queries", "-", env=env, input=b"a star\na since:2025-13\n")
    assert (told.returncode, told.stdout) == (2, b"")
    assert told.stderr.decode().startswith("vidsearch: stdin, line 2: since: there is no date 2025-13")
