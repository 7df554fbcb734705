"""200 damaged libraries, each met by every command: no traceback, no answer that is not a number.

    make soak                               or: pytest -m soak tests/soak/test_soak_library_states.py

The crafted states of library_states.py, and as many made by chance: bytes of the database changed, pages exchanged or
emptied, its end cut off, and values of other types in any column of any row. Seeds are fixed.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import library_states
import pytest
from library_states import DATABASE, MENDED, MODEL, REBUILT, REFUSED, Spoil

from vidsearch.cli.app import run
from vidsearch.embedding.embedder import open_text_embedder
from vidsearch.errors import LibraryError
from vidsearch.store.library import Library

pytestmark = pytest.mark.soak

STATES = 200
CRAFTED = {
    name: spoil for name, spoil in (MENDED | REBUILT | REFUSED).items() if "a row" not in name
}  # made for another length
PAGE_BYTES = 16384
STRANGE = (None, "", "text", "a\0b", b"", b"\0\xff", -1, 0, 1, 7, 2**62, -(2**63), 0.5, math.inf, -math.inf, 1e308)


def changed_bytes(chance: random.Random) -> Spoil:
    def spoil(home: Path) -> None:
        content = bytearray((home / DATABASE).read_bytes())
        for _ in range(chance.choice((1, 3, 20, 200))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (home / DATABASE).write_bytes(content)

    return spoil


def changed_pages(chance: random.Random) -> Spoil:
    def spoil(home: Path) -> None:
        content = bytearray((home / DATABASE).read_bytes())
        one, two = (PAGE_BYTES * chance.randrange(len(content) // PAGE_BYTES) for _ in range(2))
        if chance.random() < 0.5:
            content[one : one + PAGE_BYTES] = bytes(PAGE_BYTES)
        else:
            page = content[one : one + PAGE_BYTES]
            content[one : one + PAGE_BYTES] = content[two : two + PAGE_BYTES]
            content[two : two + PAGE_BYTES] = page
        (home / DATABASE).write_bytes(content)

    return spoil


def cut_short(chance: random.Random) -> Spoil:
    def spoil(home: Path) -> None:
        os.truncate(home / DATABASE, chance.randrange((home / DATABASE).stat().st_size))

    return spoil


def strange_values(chance: random.Random) -> Spoil:
    def spoil(home: Path) -> None:
        with closing(sqlite3.connect(home / DATABASE)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for _ in range(chance.choice((1, 2, 5))):
                table = chance.choice(tables)
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info ({table})")]
                rows = "" if chance.random() < 0.3 else f"WHERE {columns[0]} = 1"
                with suppress(sqlite3.IntegrityError):  # a column that takes no NULL, or no such value twice
                    change = f"UPDATE {table} SET {chance.choice(columns)} = ? {rows}"
                    connection.execute(change, (chance.choice(STRANGE),))

    return spoil


def by_chance(seed: int) -> Spoil:
    chance = random.Random(seed)
    kinds: tuple[Callable[[random.Random], Spoil], ...] = (changed_bytes, changed_pages, cut_short, strange_values)
    return kinds[0 if seed % 5 == 4 else 3 if seed % 5 == 3 else seed % 5](chance)


SPOILS = CRAFTED | {f"chance {seed}": by_chance(seed) for seed in range(STATES - len(CRAFTED))}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A library that the real model can be asked about, and the length of its vectors."""
    folder = tmp_path_factory.mktemp("states")
    dim = open_text_embedder(MODEL, models_dir=folder / "models").embed(["red"]).shape[1]
    library_states.make_library(folder / "home", folder / "videos", dim=dim)
    return folder, dim


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_every_command_ends_as_it_should(
    sound: tuple[Path, int], own_home: Path, spoil: Spoil, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, dim = sound
    shutil.copytree(folder / "home", own_home)
    spoil(own_home)
    videos = folder / "videos"
    commands = (
        ["query", "red", "--all", "--json", "--model", MODEL],
        ["query", "red", "--all", "--json", "--model", MODEL, "--under", str(videos)],
        ["videos", "--json"],
        ["info", "--json"],
        ["check"],
        ["index", str(videos), "--dry-run", "--model", MODEL],
        ["rebuild"],
        ["check"],
        ["remove", str(videos)],
    )
    for command in commands:
        code = run(command)
        said = capsys.readouterr()
        assert code in (0, 1, 2, 4), (command, said.err)
        assert code in (0, 1) or command == ["check"] or said.err.strip(), command
        if said.out and "--json" in command:
            json.loads(said.out, parse_constant=pytest.fail)  # NaN and infinity are not JSON
        if command == ["check"]:
            with suppress(LibraryError), Library.open(own_home, create=False) as library:
                library_states.index(library, videos, dim=dim)
