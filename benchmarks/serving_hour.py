"""Does the memory of `vidsearch serve` stay flat over an hour of use?

    python benchmarks/serving_hour.py [--hours 1]

Sends what a person sends who works with the page for an hour (`HOUR`, a tenth at a time), as quickly as the answers
come, to the real program over examples/clips: queries with the pictures of their hits, videos with their curve, the
frames under the pointer and ranges of the file, conversions that are watched for a while and left, questions, exports.
Prints the memory of the server and of its worker processes (proportional set size) after each tenth, and the slope of
the server's: the line through the tenths after the first three, in which models are loaded and caches fill. One JSON
line at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from machine import finish
from serving import queries, serving

CLIPS = Path(__file__).parents[1] / "examples" / "clips"
MODEL = "mobileviclip-nano"
TENTHS = 10
HOUR = {"query": 600, "video": 200, "conversion": 60, "question": 60, "export": 20, "library": 60}
FORMS = ("clips", "exact", "edl", "fcpxml", "otio", "csv")
FRAMES_A_VIDEO = 10  # that the pointer touches on the timeline
WATCHED_BYTES = 400_000  # of a conversion, before its viewer leaves


@dataclass(slots=True)
class Person:
    """Somebody at a browser, which keeps pictures."""

    port: int
    draw: random.Random = field(default_factory=lambda: random.Random(3))
    words: Iterator[str] = field(default_factory=lambda: queries(3))
    pictures: set[str] = field(default_factory=set)
    requests: int = 0
    hits: list[dict[str, Any]] = field(default_factory=list)

    def send(self, target: str, body: object = None, *, most: int = -1, **headers: str) -> bytes:
        """The answer, or its first `most` bytes: then the connection is closed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        content = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", target, content, headers)
        response = connection.getresponse()
        answer = response.read() if most < 0 else response.read(most)
        connection.close()
        self.requests += 1
        if response.status not in (200, 206):
            raise SystemExit(f"{target}: {response.status} {answer[:200]!r}")
        return answer

    def post(self, target: str, body: object) -> bytes:
        return self.send(target, body, **{"content-type": "application/json"})

    def picture(self, video: int, **at: float) -> None:
        target = f"/api/videos/{video}/picture?{urlencode(at)}"
        if target not in self.pictures:
            self.pictures.add(target)
            self.send(target)

    def query(self) -> None:
        target = f"/api/search?{urlencode({'q': next(self.words), 'top': 24, 'all': 'true'})}"
        self.hits = json.loads(self.send(target))["hits"]
        for hit in self.hits:
            self.picture(hit["video"], time_s=hit["best_s"], start_s=hit["start_s"], end_s=hit["end_s"])

    def video(self) -> None:
        hit = self.draw.choice(self.hits)
        number = hit["video"]
        self.send(f"/api/videos/{number}")
        self.send(f"/api/videos/{number}/curve?{urlencode({'q': next(self.words)})}")
        span = urlencode({"video": number, "start_s": hit["start_s"], "end_s": hit["end_s"], "top": 6})
        self.send(f"/api/similar?{span}")
        for _ in range(FRAMES_A_VIDEO):
            self.picture(number, time_s=round(self.draw.uniform(0, hit["end_s"]), 1), side=160)
        size = Path(hit["path"]).stat().st_size
        for _ in range(3):
            first = self.draw.randrange(size)
            self.send(f"/api/videos/{number}/file", range=f"bytes={first}-")

    def conversion(self) -> None:
        hit = self.draw.choice(self.hits)
        target = f"/api/videos/{hit['video']}/converted?start_s={hit['start_s']}"
        self.send(target, most=self.draw.choice((1, WATCHED_BYTES)))

    def question(self) -> None:
        hit = self.draw.choice(self.hits)
        span = {name: hit[name] for name in ("video", "start_s", "end_s")}
        self.post("/api/ask", span | {"question": f"what is this, {self.requests}?"})

    def export(self) -> None:
        moments = [{name: hit[name] for name in ("video", "start_s", "end_s")} for hit in self.hits[:3]]
        made = json.loads(self.post("/api/exports", {"form": self.draw.choice(FORMS), "moments": moments}))
        self.send(f"/api/exports/{made['export']}")

    def library(self) -> None:
        self.send("/api/library")
        self.send("/api/videos?limit=60")
        self.send("/api/indexing")


def memory_mb(pid: int) -> float:
    """Proportional set size of a process: what it shares with others counts in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    raise SystemExit("The system does not tell how much memory a process holds.")


def children_mb(pid: int) -> tuple[int, float]:
    """How many processes a process has started that still run, and what they hold."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    held: list[float] = []
    for child in [int(child) for task in tasks for child in task.read_text().split()]:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended meanwhile
            held.append(memory_mb(child))
    return len(held), sum(held)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="less than one: a shorter stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "VIDSEARCH_HOME": home, "VIDSEARCH_MODEL": MODEL}
        index = [sys.executable, "-m", "vidsearch", "index", str(CLIPS)]
        subprocess.run(index, env=environment, check=True, stdout=subprocess.DEVNULL)
        with serving(environment) as (port, pid):
            person, started = Person(port), time.monotonic()
            held: list[float] = []
            print("tenth  requests  server MB  workers  workers MB")
            for tenth in range(1, TENTHS + 1):
                person.query()
                wishes = [what for what, count in HOUR.items() for _ in range(round(count * given.hours / TENTHS))]
                person.draw.shuffle(wishes)
                for what in wishes:
                    getattr(person, what)()
                held.append(memory_mb(pid))
                workers, workers_mb = children_mb(pid)
                print(f"{tenth:5}{person.requests:10}{held[-1]:11.1f}{workers:9}{workers_mb:12.1f}", flush=True)
            took_s = time.monotonic() - started
    settled = held[3:]
    slope_mb = float(np.polyfit(np.arange(len(settled)), settled, 1)[0]) * TENTHS
    print(f"{person.requests} requests in {took_s:.0f} s; the server's memory grows by {slope_mb:.1f} MB in an hour")
    finish(
        "serving_hour",
        hours=given.hours,
        requests=person.requests,
        took_s=took_s,
        held_mb=[round(it, 1) for it in held],
        slope_mb=slope_mb / given.hours,
        load=os.getloadavg()[0],
    )


if __name__ == "__main__":
    main()
