"""How quickly does `vidsearch serve` answer several people at once, and does its memory stay flat?

    python benchmarks/serving.py [--windows 100000] [--clients 8] [--requests 2000] [--think 0.5] [--model NAME]

Starts the real program over a library of random walks on the sphere, and asks it from `--clients` connections of this
machine: every query has other words, so that none is answered from memory. `--think`: the mean pause of a client before
it asks again, drawn from an exponential distribution; 0: no pause, what the server can do at most. Beside the latencies
stands the processor time of the server for a query, which a busy machine does not change. Memory is what the program
holds after a tenth of the requests and after all of them. `--indexing`: a run of indexing goes on beside it. A model
that is not installed is made with random weights. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from machine import finish, model_with_random_weights
from query import fill

from vidsearch.embedding.embedder import open_text_embedder

WORDS = [
    "a",
    "the",
    "red",
    "blue",
    "green",
    "yellow",
    "purple",
    "orange",
    "white",
    "square",
    "circle",
    "star",
    "triangle",
    "heart",
    "arrow",
    "ring",
    "moves",
    "moving",
    "left",
    "right",
    "up",
    "down",
    "grows",
    "shrinks",
    "blinks",
    "overtakes",
    "two",
    "three",
    "circles",
    "first",
    "then",
    "and",
    "on",
    "striped",
    "chequered",
    "background",
]


def queries(seed: int) -> itertools.chain[str]:
    """Phrases of three to eight words, no two alike within a run."""
    draw = random.Random(seed)
    return itertools.chain.from_iterable(
        [" ".join(draw.choices(WORDS, k=draw.randint(3, 8))) + f" {number}"] for number in itertools.count()
    )


async def client(port: int, number: int, requests: int, think_s: float, spans: list[float]) -> None:
    """One connection that asks again and again; the latency of each request is added to `spans`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    draw, words = random.Random(number), queries(number)
    for _ in range(requests):
        if think_s:
            await asyncio.sleep(draw.expovariate(1 / think_s))
        target = f"/api/search?{urlencode({'q': next(words), 'top': 40, 'all': 'true'})}"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--think", type=float, default=0.5, metavar="SECONDS")
    parser.add_argument("--model", default="mobileviclip-nano")
    parser.add_argument("--indexing", type=Path, metavar="FOLDER", help="index these videos meanwhile")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, model_with_random_weights(given.model) as models:
        home = Path(place) / "home"
        environment = {
            **os.environ,
            "VIDSEARCH_HOME": str(home),
            "VIDSEARCH_MODEL_DIR": str(models),
            "VIDSEARCH_MODEL": given.model,
        }
        fill(home, given.windows, open_text_embedder(given.model, models_dir=models).dim, given.model)
        program = [sys.executable, "-m", "vidsearch"]
        server = subprocess.Popen(
            [*program, "serve", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        port = int(server.stdout.readline().rstrip("/\n").rpartition(":")[2])
        beside = None
        try:
            asyncio.run(ask(port, given.clients, max(given.clients, given.requests // 10), 0))
            if given.indexing:
                beside = subprocess.Popen([*program, "index", str(given.indexing)], env=environment)
            before_s, before_mb = usage(server.pid)
            spans = asyncio.run(ask(port, given.clients, given.requests, given.think))
            after_s, after_mb = usage(server.pid)
        finally:
            if beside is not None:
                beside.terminate()
                beside.wait()
            server.terminate()
            server.wait()
    figures = {
        "p50_ms": percentile(spans, 0.5),
        "p95_ms": percentile(spans, 0.95),
        "p99_ms": percentile(spans, 0.99),
        "processor_ms": (after_s - before_s) / len(spans) * 1000,
        "before_mb": before_mb,
        "after_mb": after_mb,
    }
    for name, value in figures.items():
        print(f"{name:14}{value:10.1f}")
    wished = {name: getattr(given, name) for name in ("windows", "clients", "requests", "think", "model")}
    load = os.getloadavg()[0]
    finish("serving", **wished, indexing=given.indexing is not None, load=load, **figures)


if __name__ == "__main__":
    main()
