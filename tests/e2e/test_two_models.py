"""A second model beside the first: built while the first answers, listed, and freed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from seeded import TEXT_PRUNED, seeded, small_config
from support import CLIPS, PROGRAM, RunVidsearch, environment

from vidsearch.models.conversion.mobileviclip import write_model_folder

OTHER = "mobileviclip-tiny"
QUERY = "a red square moves left"


def windows_by_model(command: RunVidsearch) -> dict[str, int]:
    models = json.loads(command("info", "--json").stdout)["models"]
    return {model["name"]: model["windows"] for model in models}


@contextmanager
def stopped_half_way(*arguments: str | Path, home: Path) -> Iterator[None]:
    """A run that has indexed some of its videos stands still between two of them, as one that takes hours; in the end
    it is killed.
    """
    run = subprocess.Popen([*PROGRAM, *arguments], env=environment(), start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        deadline, before = time.monotonic() + 60, embeddings(home)
        while embeddings(home) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGSTOP)
        while is_writing(home):  # a query would wait ten seconds for it, to keep its hits
            os.killpg(run.pid, signal.SIGCONT)
            time.sleep(0.01)
            os.killpg(run.pid, signal.SIGSTOP)
        yield
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        assert run.wait(timeout=60) == -signal.SIGKILL


def is_writing(home: Path) -> bool:
    with closing(sqlite3.connect(home / "library.sqlite3", timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def embeddings(home: Path) -> int:
    with closing(sqlite3.connect(f"file:{home / 'library.sqlite3'}?mode=ro", uri=True)) as connection:
        count: int = connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]
        return count


def test_a_second_model_is_built_listed_and_freed(clips_library: Path, command: RunVidsearch) -> None:
    network = seeded(small_config(OTHER, TEXT_PRUNED))
    write_model_folder(network, clips_library / "models" / OTHER, provenance={})
    before = json.loads(command("query", QUERY, "--json").stdout)["hits"]

    unknown = command("query", QUERY, "--model", OTHER)
    assert unknown.returncode == 4
    assert b"only with mobileviclip-nano" in unknown.stderr

    with stopped_half_way("index", CLIPS, "--model", OTHER, home=clips_library):
        assert json.loads(command("query", QUERY, "--json").stdout)["hits"] == before
        assert 0 < windows_by_model(command)[OTHER] < 40
    assert windows_by_model(command)["mobileviclip-nano"] == 40
    assert json.loads(command("query", QUERY, "--json").stdout)["hits"] == before

    rest = json.loads(command("index", CLIPS, "--model", OTHER, "--json").stdout)
    assert rest["unchanged"] > 0 and rest["unchanged"] + len(rest["indexed"]) == 26
    assert windows_by_model(command) == {"mobileviclip-nano": 40, OTHER: 40}
    hits = json.loads(command("query", QUERY, "--model", OTHER, "--json").stdout)["hits"]
    assert {hit["model"] for hit in hits} == {OTHER}
    assert {hit["level"] for hit in hits} == {None} and len(hits) == 10  # nobody measured its levels: all are shown
    said = command("query", QUERY, "--model", OTHER).stderr.decode()
    assert f"Every moment is shown, however weak: what a score of {OTHER} means was never measured" in said
    assert command("query", QUERY, "--model", OTHER, "--min-score", "-1").stderr == b""

    freed = command("remove", "--model", OTHER, "--json")
    assert json.loads(freed.stdout) == {"version": 1, "model": OTHER, "windows": 40}
    assert windows_by_model(command) == {"mobileviclip-nano": 40}
    assert json.loads(command("query", QUERY, "--json").stdout)["hits"] == before


def test_remove_wants_paths_or_a_model(clips_library: Path, command: RunVidsearch) -> None:
    for arguments in ([], [CLIPS, "--model", OTHER]):
        done = command("remove", *arguments)
        assert done.returncode == 2
        assert b"one of the two" in done.stderr
    absent = command("remove", "--model", OTHER)
    assert absent.returncode == 4
    assert b"it holds those of: mobileviclip-nano" in absent.stderr
