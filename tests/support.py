"""What tests of several kinds share: where things are, and a library's content in a form that can be compared."""

from __future__ import annotations

import ctypes
import io
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"  # reference material that is not in the repository; tests skip without it
CLIPS = REPOSITORY / "examples" / "clips"

PROGRAM = (sys.executable, "-m", "vidsearch")
RunVidsearch = Callable[..., "subprocess.CompletedProcess[bytes]"]


def run_vidsearch(
    *arguments: str | Path | bytes,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 180,
) -> subprocess.CompletedProcess[bytes]:
    """Runs the real program in a process of its own, with the bundled model unless `env` says otherwise."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        env=environment(env),
        cwd=cwd,
        timeout=timeout_s,
        check=False,
    )


def run_in_process(
    *arguments: str | Path,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """As `run_vidsearch`, in this process and so without its start: for tests that are not about the process."""
    from vidsearch.cli.app import run

    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    given = io.TextIOWrapper(io.BytesIO(input or b""), "utf-8", "surrogateescape")
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, environment(env)))
        stack.enter_context(_one_thread())
        for name, stream in (("stdin", given), ("stdout", out), ("stderr", err)):
            stack.enter_context(patch.object(sys, name, stream))
        if cwd is not None:
            stack.enter_context(chdir(cwd))
        code = run([str(argument) for argument in arguments])
        out.flush()
        err.flush()
    return subprocess.CompletedProcess(arguments, code, out.buffer.getvalue(), err.buffer.getvalue())  # type: ignore[attr-defined]


@contextmanager
def _one_thread() -> Iterator[None]:
    """What OMP_NUM_THREADS=1 does for a process: threads that wait for each other take the cores from other tests."""
    try:
        import torch  # late: most users of this module never need it
    except ModuleNotFoundError:  # an installation that only searches
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, the bundled model, one thread: tests share the cores. Streams are buffered."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**own, "VIDSEARCH_MODEL": "mobileviclip-nano", "OMP_NUM_THREADS": "1", **(changes or {})}


def run_on_terminal(
    command: Sequence[str | Path], typed: bytes, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Runs a command on a terminal of its own, types at once, and gives (exit code, what the screen shows).

    How wide that is, the terminal says, unless `env` does: where tests run in parallel, COLUMNS is always 80.
    """
    known = {name: value for name, value in environment(env).items() if name != "COLUMNS" or name in (env or {})}
    controller, terminal = pty.openpty()
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=known)
    os.close(terminal)
    os.write(controller, typed)
    shown = b""
    try:
        while piece := os.read(controller, 65536):
            shown += piece
    except OSError:  # Linux's way of saying that the other end is closed
        pass
    finally:
        os.close(controller)
    return process.wait(timeout=60), shown.decode(errors="replace")


VideoContent = tuple[dict[str, Any], list[tuple[float, float]], NDArray[np.float32]]


def library_content(home: Path) -> dict[str, VideoContent]:
    """By path: the stored facts, the windows and the vectors; without row ids, which tell in what order things came."""
    with closing(sqlite3.connect(f"file:{home / 'library.sqlite3'}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute(
            "SELECT v.*, e.*, e.id AS embedding FROM videos v LEFT JOIN embeddings e ON e.video_id = v.id"
        ).fetchall()
        return {row["path"]: _video(connection, row) for row in rows}


def _video(connection: sqlite3.Connection, row: sqlite3.Row) -> VideoContent:
    facts = {name: row[name] for name in ("size_bytes", "mtime_ns", "fingerprint", "state", "duration_s", "reader")}
    windows = connection.execute(
        "SELECT start_s, end_s FROM windows WHERE embedding_id = ? ORDER BY ordinal", (row["embedding"],)
    )
    vectors = np.frombuffer(row["vectors"] or b"", dtype="<f2").astype(np.float32)
    if row["windows"]:
        vectors = vectors.reshape(row["windows"], -1)
    return facts, [tuple(window) for window in windows], vectors


def drop_override() -> None:
    """Makes permissions count for root as well: gives up CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2), Linux."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    data[0] &= ~0b110
    data[1] &= ~0b110
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
