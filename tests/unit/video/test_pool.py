"""Real worker processes: order, hangs, crashes, changing files, and the end of the program."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from video_samples import even_times, make_video, number_in

from vidsearch.records import FrameSpec, VideoFile, WindowSpec
from vidsearch.video.ipc import Job
from vidsearch.video.pool import (
    DecodeEvent,
    DecodeFailed,
    DecodeLimits,
    DecodePool,
    VideoDone,
    VideoOpened,
    WindowDecoded,
    WorkerSlot,
)

SPEC = FrameSpec(32)
# One window a frame: a short file gives many events, more than the queue and the pipe hold.
MANY = WindowSpec(length_s=0.4, stride_s=0.1, frames=8)


def as_file(path: Path) -> VideoFile:
    status = path.stat()
    return VideoFile(path, status.st_size, status.st_mtime_ns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One long and two short videos, and one that is none."""
    root = tmp_path_factory.mktemp("videos")
    make_video(root / "long.mp4", even_times(1500, 25))
    make_video(root / "a.mp4", even_times(100, 25))
    make_video(root / "b.mp4", even_times(100, 25))
    (root / "text.mp4").write_text("no video")
    return root


def kinds(events: Iterable[DecodeEvent], path: Path) -> list[str]:
    """The events of one file, windows counted as one."""
    names: list[str] = []
    for event in events:
        if event.file.path == path and (not names or names[-1] != type(event).__name__):
            names.append(type(event).__name__)
    return names


def failure(events: Iterable[DecodeEvent], path: Path) -> str:
    (kind,) = [event.error.kind for event in events if isinstance(event, DecodeFailed) and event.file.path == path]
    return kind


def test_every_file_ends_and_its_events_are_in_order(folder: Path) -> None:
    files = [as_file(folder / name) for name in ("long.mp4", "text.mp4", "a.mp4", "b.mp4")]
    with DecodePool(2, SPEC, WindowSpec()) as pool:
        events = list(pool.decode(iter(files)))
    for name in ("long.mp4", "a.mp4", "b.mp4"):
        assert kinds(events, folder / name) == ["VideoOpened", "WindowDecoded", "VideoDone"]
    assert kinds(events, folder / "text.mp4") == ["DecodeFailed"]
    assert failure(events, folder / "text.mp4") == "not-a-video"
    clips = [event.clip for event in events if isinstance(event, WindowDecoded) and event.file == files[0]]
    assert [event.windows for event in events if isinstance(event, VideoOpened) and event.file == files[0]] == [14]
    assert [clip.window.start_s for clip in clips] == [4.0 * number for number in range(14)]
    assert [number_in(frame) for frame in clips[3].frames] == [int(time * 25) for time in clips[3].window.times_s]


def test_files_start_in_the_order_given_and_are_drawn_as_needed(folder: Path) -> None:
    drawn: list[str] = []

    def files() -> Iterator[VideoFile]:
        for name in ("b.mp4", "a.mp4", "long.mp4"):
            drawn.append(name)
            yield as_file(folder / name)

    with DecodePool(1, SPEC, WindowSpec()) as pool:
        events = pool.decode(files())
        first = next(events)
        assert (first.file.path.name, drawn) == ("b.mp4", ["b.mp4"])
        opened = [first, *(event for event in events if isinstance(event, VideoOpened))]
    assert [event.file.path.name for event in opened] == ["b.mp4", "a.mp4", "long.mp4"]


def test_an_error_of_the_file_list_comes_out(folder: Path) -> None:
    def files() -> Iterator[VideoFile]:
        yield as_file(folder / "a.mp4")
        raise ZeroDivisionError

    with DecodePool(2, SPEC, WindowSpec()) as pool, pytest.raises(ZeroDivisionError):
        list(pool.decode(files()))


def interrupted(folder: Path, limits: DecodeLimits, act: Callable[[int], None]) -> tuple[list[DecodeEvent], set[int]]:
    """Decode long.mp4 and a.mp4 with one worker; `act` on its pid when the first window is there."""
    files = [as_file(folder / "long.mp4"), as_file(folder / "a.mp4")]
    events: list[DecodeEvent] = []
    pids: set[int] = set()
    with DecodePool(1, SPEC, MANY, limits=limits, buffered_events=1) as pool:
        acted = False
        for event in pool.decode(files):
            events.append(event)
            pids.update(pool.worker_pids)
            if isinstance(event, WindowDecoded) and not acted:
                acted = True
                act(pool.worker_pids[0])
    return events, pids


def test_a_worker_that_stands_still_is_replaced_and_its_file_times_out(folder: Path) -> None:
    events, pids = interrupted(folder, DecodeLimits(silent_s=4.0), lambda pid: os.kill(pid, signal.SIGSTOP))
    assert kinds(events, folder / "long.mp4") == ["VideoOpened", "WindowDecoded", "DecodeFailed"]
    assert failure(events, folder / "long.mp4") == "timeout"
    assert kinds(events, folder / "a.mp4") == ["VideoOpened", "WindowDecoded", "VideoDone"]
    assert len(pids) == 2


def test_a_worker_that_dies_is_replaced_and_its_file_crashed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    events, pids = interrupted(folder, DecodeLimits(), lambda pid: os.kill(pid, signal.SIGKILL))
    assert failure(events, folder / "long.mp4") == "crashed"
    assert kinds(events, folder / "a.mp4") == ["VideoOpened", "WindowDecoded", "VideoDone"]
    assert len(pids) == 2
    assert "long.mp4" in caplog.text


def test_time_in_which_nobody_takes_the_windows_does_not_count(folder: Path) -> None:
    limits = DecodeLimits(base_s=60.0, silent_s=2.0)
    events, _ = interrupted(folder, limits, lambda _: time.sleep(2.5))
    assert kinds(events, folder / "long.mp4") == ["VideoOpened", "WindowDecoded", "VideoDone"]


def test_time_in_which_this_process_does_not_run_does_not_count(folder: Path) -> None:
    """A laptop that slept, a machine that is overloaded: the thread that counts stood still, as the worker did."""
    slot = WorkerSlot([sys.executable, "-c", "import time; time.sleep(60)"])
    slot.begin(Job(as_file(folder / "a.mp4")), DecodeLimits(base_s=0.2, per_mib_s=0.0))
    waiting = threading.Thread(target=slot.wait)
    waiting.start()
    time.sleep(0.4)
    assert not slot.is_late()
    slot.tick(0.1)
    assert not slot.is_late()
    slot.tick(0.2)
    assert slot.is_late()
    slot.kill()
    waiting.join()
    slot.discard()


def test_a_video_longer_than_its_limit_is_given_up(folder: Path) -> None:
    limits = DecodeLimits(base_s=0.001, per_mib_s=0.0)
    with DecodePool(1, SPEC, WindowSpec(), limits=limits) as pool:
        (event,) = pool.decode([as_file(folder / "a.mp4")])
    assert isinstance(event, DecodeFailed)
    assert event.error.kind == "timeout"


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda path: os.utime(path), "changing"),
        (lambda path: path.write_bytes(path.read_bytes() + b"more"), "changing"),
        (lambda path: path.unlink(), "vanished"),
    ],
    ids=["touched", "growing", "deleted"],
)
def test_a_file_that_changes_while_it_is_read(
    folder: Path, tmp_path: Path, act: Callable[[Path], object], kind: str
) -> None:
    path = tmp_path / "moving.mp4"
    path.write_bytes((folder / "long.mp4").read_bytes())
    with DecodePool(1, SPEC, MANY, buffered_events=1) as pool:
        events: list[DecodeEvent] = []
        for event in pool.decode([as_file(path)]):
            if len(events) == 1:
                act(path)
            events.append(event)
    assert failure(events, path) == kind


def test_a_file_that_changed_since_the_walk_is_not_read(folder: Path) -> None:
    path = folder / "a.mp4"
    with DecodePool(1, SPEC, WindowSpec()) as pool:
        events = list(pool.decode([VideoFile(path, 1, 1), VideoFile(folder / "gone.mp4", 1, 1)]))
    assert [event.error.kind for event in events if isinstance(event, DecodeFailed)] == ["changing", "vanished"]


def test_a_worker_started_ahead_decodes_the_first_file_and_the_next(folder: Path) -> None:
    with DecodePool(1, SPEC, MANY) as pool:
        assert not pool.worker_pids
        pool.start()
        ahead = pool.worker_pids
        for name in ("a.mp4", "b.mp4"):
            assert isinstance(list(pool.decode([as_file(folder / name)]))[-1], VideoDone)
        assert len(ahead) == 1 and pool.worker_pids == ahead
    wait_until_gone(ahead, 1.0)


def test_leaving_early_ends_the_workers_and_the_pool_can_go_on(folder: Path) -> None:
    with DecodePool(2, SPEC, MANY, buffered_events=1) as pool:
        for event in pool.decode([as_file(folder / "long.mp4")]):
            if isinstance(event, WindowDecoded):
                break
        events = list(pool.decode([as_file(folder / "a.mp4")]))
        pids = pool.worker_pids
    assert isinstance(events[-1], VideoDone)
    assert pids
    wait_until_gone(pids, 1.0)


def test_memory_of_a_worker_is_flat(folder: Path) -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("resident memory is read from /proc")
    sizes: list[int] = []
    with DecodePool(1, FrameSpec(128), WindowSpec(2.0, 0.1, 8), buffered_events=1) as pool:
        for event in pool.decode([as_file(folder / "long.mp4")]):
            if isinstance(event, WindowDecoded):
                lines = Path(f"/proc/{pool.worker_pids[0]}/status").read_text().splitlines()
                sizes.append(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")))
    assert len(sizes) > 500
    half = len(sizes) // 2
    kept = half * 8 * 128 * 128 * 3 // 1024  # KiB that the windows of one half hold; the allocator takes some, too
    assert max(sizes[half:]) - max(sizes[:half]) < kept // 4


def test_a_consumer_that_pauses_costs_no_memory_and_no_picture(folder: Path) -> None:
    """decord decodes on while nobody asks it: 1,500 frames of 224 px are 226 MB, more than this worker may take."""
    limits = DecodeLimits(memory_bytes=120 << 20)
    with DecodePool(1, FrameSpec(224), WindowSpec(), limits=limits, buffered_events=1) as pool:
        events: list[DecodeEvent] = []
        for event in pool.decode([as_file(folder / "long.mp4")]):
            events.append(event)
            if len(events) == 2:
                time.sleep(3.0)
    assert [type(event).__name__ for event in events] == ["VideoOpened", *["WindowDecoded"] * 14, "VideoDone"]
    clips = [event.clip for event in events if isinstance(event, WindowDecoded)]
    shown = [[number_in(frame) for frame in clip.frames] for clip in clips]
    assert shown == [[int(time * 25) for time in clip.window.times_s] for clip in clips]


PROGRAM = """
import sys, time
from pathlib import Path
from vidsearch.records import FrameSpec, VideoFile, WindowSpec
from vidsearch.video.pool import DecodePool, WindowDecoded

path = Path(sys.argv[1])
file = VideoFile(path, path.stat().st_size, path.stat().st_mtime_ns)
with DecodePool(2, FrameSpec(32), WindowSpec(0.4, 0.1, 8), buffered_events=1) as pool:
    for event in pool.decode([file, file]):
        if isinstance(event, WindowDecoded) and len(pool.worker_pids) == 2:
            print(*pool.worker_pids, flush=True)
            time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_no_worker_outlives_the_program(folder: Path, end: signal.Signals) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder / "long.mp4")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with program:
        assert program.stdout is not None
        pids = [int(word) for word in program.stdout.readline().split()]
        assert len(pids) == 2
        if end == signal.SIGINT:
            os.killpg(program.pid, end)  # as a terminal does: the workers get it, too
        else:
            program.kill()
        assert program.wait(timeout=10) == -end
        wait_until_gone(pids, 5.0)


def wait_until_gone(pids: Iterable[int], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    for pid in pids:
        while is_running(pid):
            assert time.monotonic() < end, f"worker {pid} is still there"
            time.sleep(0.05)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z"  # a zombie that nobody has waited for has ended
    return False


def test_a_worker_loads_no_torch() -> None:
    check = "import sys, vidsearch.video.worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_pixels_cross_the_pipe_unchanged(folder: Path) -> None:
    from vidsearch.video.reader import open_reader, read_windows

    path = folder / "a.mp4"
    with DecodePool(1, SPEC, WindowSpec(2.0, 1.0, 4)) as pool:
        sent = [event.clip for event in pool.decode([as_file(path)]) if isinstance(event, WindowDecoded)]
    with open_reader(path, SPEC) as reader:
        for clip, expected in zip(sent, read_windows(reader, WindowSpec(2.0, 1.0, 4)), strict=True):
            assert clip.window == expected.window
            assert np.array_equal(clip.frames, expected.frames)
