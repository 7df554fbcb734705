"""How quickly does `vidsearch serve` answer several people at once?

    python benchmarks/serving.py [--windows 100000] [--clients 8] [--requests 2000] [--think 0.5] [--indexing]

Starts the real program over a library of random walks on the sphere, and asks it from `--clients` connections of this
machine for as many moments as the page does: every query has other words, so that none is answered from memory.
`--think`: the mean pause of a client before it asks again, drawn from an exponential distribution; 0: no pause, what
the server can do at most. Beside the latencies stands the processor time of the server for a query, which a busy
machine does not change as much, and what the program holds of memory before and after. `--indexing`: the same again
while the server indexes files, copies of examples/clips. `--library FOLDER` keeps the library there and uses it again.
A model that is not installed is made with random weights. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from machine import finish, model_with_random_weights
from query import fill

from vidsearch.embedding.embedder import open_text_embedder
from vidsearch.store.library import Library

TOP = 24  # PAGE of vidsearch/serving/static/search.js
VOCABULARY = (
    "a the red blue green yellow purple orange white square circle star triangle heart arrow ring moves moving left "
    "right up down grows shrinks blinks overtakes two three circles first then and on striped chequered background"
)


def queries(seed: int) -> itertools.chain[str]:
    """Phrases of three to eight words, no two alike within a run."""
    draw, words = random.Random(seed), VOCABULARY.split()
    return itertools.chain.from_iterable(
        [" ".join(draw.choices(words, k=draw.randint(3, 8))) + f" {number}"] for number in itertools.count()
    )


async def client(port: int, number: int, requests: int, think_s: float, spans: list[float]) -> None:
    """One connection that asks again and again; the latency of each request is added to `spans`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    draw, words = random.Random(number), queries(number)
    for _ in range(requests):
        if think_s:
            await asyncio.sleep(draw.expovariate(1 / think_s))
        target = f"/api/search?{urlencode({'q': next(words), 'top': TOP, 'all': 'true'})}"
        started = time.perf_counter()
        writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        spans.append(time.perf_counter() - started)
    writer.close()


async def ask(port: int, clients: int, requests: int, think_s: float) -> list[float]:
    """The latencies of all requests, in seconds."""
    spans: list[float] = []
    await asyncio.gather(*(client(port, number, requests // clients, think_s, spans) for number in range(clients)))
    return spans


def usage(pid: int) -> tuple[float, float]:
    """Processor seconds and resident megabytes of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def percentile(spans: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(spans)[min(len(spans) - 1, int(share * len(spans)))] * 1000


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The program, until the block is left: its port and its process id."""
    command = [sys.executable, "-m", "vidsearch", "serve", "--port", "0"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline().rstrip("/\n").rpartition(":")[2]), server.pid
    finally:
        server.terminate()
        server.wait()


def measured(port: int, pid: int, given: argparse.Namespace) -> dict[str, float]:
    """The figures of one load."""
    before_s, before_mb = usage(pid)
    started = time.perf_counter()
    spans = asyncio.run(ask(port, given.clients, given.requests, given.think))
    took_s = time.perf_counter() - started
    after_s, after_mb = usage(pid)
    return {
        "p50_ms": percentile(spans, 0.5),
        "p95_ms": percentile(spans, 0.95),
        "p99_ms": percentile(spans, 0.99),
        "queries_a_second": len(spans) / took_s,
        "processor_ms": (after_s - before_s) / len(spans) * 1000,
        "before_mb": before_mb,
        "after_mb": after_mb,
    }


def put_copies(folder: Path, count: int) -> None:
    """Copies of examples/clips, each a content of its own by what follows the end of the video."""
    folder.mkdir()
    for number in range(count):
        for clip in (Path(__file__).parents[1] / "examples" / "clips").glob("*.mp4"):
            content = clip.read_bytes() + (16).to_bytes(4) + b"free" + number.to_bytes(8)
            (folder / f"{clip.stem}-{number}.mp4").write_bytes(content)


def api(port: int, method: str, target: str) -> Any:
    """The answer of the server to a request without fields."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, target, "{}" if method == "POST" else None, {"content-type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def measured_while_indexing(port: int, pid: int, given: argparse.Namespace) -> dict[str, float]:
    """The figures of the load while the server indexes, and how quickly it does, alone and beside the load."""
    api(port, "POST", "/api/indexing/start")
    while not api(port, "GET", "/api/indexing")["windows"]:
        time.sleep(0.2)
    alone = _rate(port, lambda: time.sleep(10))
    figures: dict[str, float] = {}
    beside = _rate(port, lambda: figures.update(measured(port, pid, given)))
    if api(port, "GET", "/api/indexing")["state"] != "running":
        raise SystemExit("The run of indexing was over before the load; give fewer requests.")
    api(port, "POST", "/api/indexing/stop")
    return {**figures, "windows_a_second_alone": alone, "windows_a_second_beside": beside}


def _rate(port: int, meanwhile: Callable[[], object]) -> float:
    before, started = api(port, "GET", "/api/indexing")["windows"], time.perf_counter()
    meanwhile()
    return (api(port, "GET", "/api/indexing")["windows"] - before) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--think", type=float, default=0.5, metavar="SECONDS")
    parser.add_argument("--model", default="mobileviclip-nano")
    parser.add_argument("--indexing", action="store_true", help="again, while the server indexes")
    parser.add_argument("--copies", type=int, default=60, help="with --indexing: of each clip")
    parser.add_argument("--library", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, model_with_random_weights(given.model) as models:
        home = given.library or Path(place) / "home"
        if not home.exists():
            fill(home, given.windows, open_text_embedder(given.model, models_dir=models).dim, given.model)
        if given.indexing:  # which changes the library
            home = shutil.copytree(home, Path(place) / "changed")
            put_copies(Path(place) / "videos", given.copies)
            with Library.open(home) as library:
                library.add_root(Path(place) / "videos")
        settings = {"VIDSEARCH_HOME": home, "VIDSEARCH_MODEL_DIR": models, "VIDSEARCH_MODEL": given.model}
        with serving({**os.environ, **{name: str(value) for name, value in settings.items()}}) as (port, pid):
            asyncio.run(ask(port, given.clients, max(given.clients, given.requests // 10), 0))
            loads = {"alone": measured(port, pid, given)}
            if given.indexing:
                loads["while indexing"] = measured_while_indexing(port, pid, given)
    for load, figures in loads.items():
        print(load)
        for name, value in figures.items():
            print(f"    {name:24}{value:10.1f}")
    wished = {name: getattr(given, name) for name in ("windows", "clients", "requests", "think", "model")}
    indexing = {f"indexing_{name}": value for name, value in loads.get("while indexing", {}).items()}
    finish("serving", **wished, load=os.getloadavg()[0], **loads["alone"], **indexing)


if __name__ == "__main__":
    main()
