"""Indexing that is killed 880 times: after each blow, and after the run that goes on from there, nothing is missing.

The program's own code with its database, the colours as a model, 12 tiny videos that change between the runs; 40 of the
kills with decoding workers, the others without. Half of the blows come at a random moment, half as a video is committed
or the index is written. `tests/e2e` kills the whole program (60 times in `make soak`), and installations (60 times).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ColourEmbedder
from support import VideoContent, environment, library_content
from video_samples import COLOURS, make_colour_video

from vidsearch.store.library import Library
from vidsearch.video.fingerprint import fingerprint

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

# By seed; the first one with decoding workers, as the program has them.
KILLS = {0: 40, 1: 120, 2: 120, 3: 120, 4: 120, 5: 120, 6: 120, 7: 120}
CONTENTS, FILES = 40, 12
SCRIPT = Path(__file__).parent / "killed_indexer.py"

Ask = Any  # (outcomes, delay_s) → the answer of killed_indexer


@contextmanager
def indexer(home: Path, folder: Path, *, workers: bool) -> Iterator[Ask]:
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        env=environment({"PYTHONPATH": path}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    asking, answering = process.stdin, process.stdout

    def ask(outcomes: int | None, delay_s: float = 0.0, *, home: Path = home) -> dict[str, Any]:
        request = {
            "home": str(home),
            "folder": str(folder),
            "workers": workers,
            "outcomes": outcomes,
            "delay_s": delay_s,
        }
        asking.write(json.dumps(request) + "\n")
        asking.flush()
        answer: dict[str, Any] = json.loads(answering.readline())
        return answer

    try:
        yield ask
    finally:
        asking.close()
        process.wait(timeout=60)
        answering.close()


def make_contents(folder: Path) -> list[Path]:
    """Videos of 1 to 15 s, each in an order of colours of its own, and some files that are none."""
    folder.mkdir()
    chance = random.Random(1)
    made = []
    for number in range(CONTENTS):
        path = folder / f"{number:02d}.mp4"
        if number % 10 == 9:
            path.write_bytes(b"not a video " * (number + 1))
        else:
            scenes = [(chance.choice(sorted(COLOURS)), chance.choice((0.4, 0.8, 1.2))) for _ in range(1 + number % 6)]
            make_colour_video(path, ("red", 1.0 + number / 5), *scenes)
        made.append(path)
    return made


class Folder:
    """A folder that lives on between the runs."""

    def __init__(self, path: Path, contents: list[Path], chance: random.Random) -> None:
        self.path, self._contents, self._chance = path, contents, chance
        self._count = 0
        path.mkdir()

    def change(self) -> None:
        """Files come, leave, move, are replaced and copied."""
        names = sorted(self.path.iterdir())
        self._chance.shuffle(names)
        for _ in range(self._chance.randint(2, 5)):
            shutil.copy(self._chance.choice(self._contents), self._new_name())
        if len(names) > 4:
            names.pop().rename(self._new_name())
            shutil.copy(self._chance.choice(self._contents), names.pop())
            if self._chance.random() < 0.3:
                shutil.copy(names.pop(), self._new_name())
        while names and len(list(self.path.iterdir())) > FILES:
            names.pop().unlink()

    def contents(self) -> dict[str, str]:
        """By name, see `content_of`."""
        return {path.name: content_of(path) for path in self.path.iterdir()}

    def _new_name(self) -> Path:
        self._count += 1
        return self.path / f"{self._chance.randrange(1000):03d}_{self._count}.mp4"


def content_of(path: Path) -> str:
    """What a library should know of a file: a fingerprint, or the size of one that is no video."""
    is_video = b"ftyp" in path.read_bytes()[:12]
    return fingerprint(path) if is_video else f"failed, {path.stat().st_size} bytes"


def content_in(video: VideoContent) -> str:
    """What a library does know of it."""
    facts = video[0]
    return facts["fingerprint"] if facts["state"] == "indexed" else f"{facts['state']}, {facts['size_bytes']} bytes"


def by_content(home: Path) -> dict[str, VideoContent]:
    return {content_in(video): video for video in library_content(home).values()}


def assert_as_made(found: VideoContent, expected: VideoContent) -> None:
    """The same but for the file's own time; to the bit, since a colour does not depend on its batch."""
    for name in ("fingerprint", "state", "size_bytes", "duration_s", "reader"):
        assert found[0][name] == expected[0][name]
    assert found[1] == expected[1]
    assert np.array_equal(found[2], expected[2])


@pytest.mark.parametrize(("seed", "kills"), KILLS.items())
def test_a_killed_run_loses_and_repeats_nothing(tmp_path: Path, seed: int, kills: int) -> None:
    workers = seed == 0
    chance = random.Random(seed)
    contents = make_contents(tmp_path / "contents")
    with indexer(tmp_path / "reference", tmp_path / "contents", workers=workers) as ask:
        ask(None)
    reference = by_content(tmp_path / "reference")
    assert len(reference) == CONTENTS
    folder, home = Folder(tmp_path / "videos", contents, chance), tmp_path / "home"
    killed, runs_s, ends = 0, [0.5], [3]
    with indexer(home, folder.path, workers=workers) as ask:
        while killed < kills:
            folder.change()
            here = folder.contents()
            for _ in range(chance.choice((1, 1, 2, 3))):
                known = set(by_content(home)) if Library.exists(home) else set()
                if chance.random() < 0.5:
                    answer = ask(0, chance.uniform(0.0, statistics.median(runs_s[-9:])))
                else:
                    answer = ask(chance.randint(1, round(statistics.median(ends[-9:]))), chance.uniform(0.0, 0.02))
                killed += answer["killed"]
                assert not answer["left"]  # the decoding workers ended with the run
                check_after_blow(home, here, known, answer, reference)
            go_on(home, folder, ask, reference, runs_s, ends)
        undisturbed = tmp_path / "undisturbed"
        ask(None, home=undisturbed)
    found, expected = library_content(home), library_content(undisturbed)
    assert found.keys() == expected.keys()
    for path, content in expected.items():
        assert found[path][0] == content[0]
        assert_as_made(found[path], content)


def check_after_blow(
    home: Path, here: dict[str, str], known: set[str], answer: dict[str, Any], reference: dict[str, VideoContent]
) -> None:
    """What was committed is there, what is there is whole, and nothing else is wrong."""
    if not Library.exists(home):
        assert not known and not answer["indexed"]
        return
    with Library.open(home, exact_below=8, graph_from=8) as library:
        assert [problem for problem in library.check() if "search index" not in problem] == []
        library.search(np.ones(ColourEmbedder.dim), model=ColourEmbedder.model, limit=3)
    rows = library_content(home)
    stored = {Path(path).name: content for path, content in rows.items()}
    for content in stored.values():
        assert_as_made(content, reference[content_in(content)])
    after = {content_in(content) for content in stored.values()}
    assert {content for content in known & set(here.values()) if not content.startswith("failed")} <= after
    for name in (*answer["indexed"], *answer["failed"]):
        assert content_in(stored[name]) == here[name]


def go_on(
    home: Path,
    folder: Folder,
    ask: Ask,
    reference: dict[str, VideoContent],
    runs_s: list[float],
    ends: list[int],
) -> None:
    """The next run does what is left, no more, and the library is that of an undisturbed one."""
    here = folder.contents()
    done = set(by_content(home)) if Library.exists(home) else set()
    answer = ask(None)
    videos = [name for name, content in here.items() if not content.startswith("failed")]
    assert sorted(answer["indexed"]) == sorted(name for name in videos if here[name] not in done)
    assert not set(answer["failed"]) & set(videos)
    if answer["indexed"]:
        runs_s.append(answer["seconds"])
        ends.append(answer["outcomes"])
    stored = {Path(path).name: content for path, content in library_content(home).items()}
    assert {name: content_in(content) for name, content in stored.items()} == here
    for content in stored.values():
        assert_as_made(content, reference[content_in(content)])
    with Library.open(home, exact_below=8, graph_from=8) as library:
        assert library.check() == []
    assert [path for path in home.iterdir() if path.name.startswith(".")] == []  # unfinished files
    again = ask(None) if len(ends) % 10 == 0 else {"indexed": [], "failed": []}
    assert again["indexed"] == again["failed"] == []
