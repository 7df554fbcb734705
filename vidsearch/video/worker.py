"""One decoding process: paths come in, facts and windows go out. Started by `pool`; imports no torch.

    python -m vidsearch.video.worker <side_px> <fit> <length_s> <stride_s> <frames> <kind> <still> <memory in bytes>

Standard input carries one job a message, standard output the answers (see `ipc`); whatever the codec libraries
print goes to standard error. The process ends when its standard input does, so that none is left when the program
is killed, and it ignores Ctrl-C, which is the program's to handle.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import IO, get_args

from vidsearch.errors import VideoError
from vidsearch.records import ClipFrames, Fit, FrameSpec, VideoFile, WindowKind, WindowSpec
from vidsearch.video.discover import file_at
from vidsearch.video.fingerprint import fingerprint
from vidsearch.video.interface import VideoReader
from vidsearch.video.ipc import Done, Failed, Job, Opened, send
from vidsearch.video.memory import DEFAULT_LIMIT_MB, address_space_bytes, limit_memory, out_of_memory
from vidsearch.video.messages import shown
from vidsearch.video.reader import fill_windows, open_reader, windows_of_spec
from vidsearch.video.still import StillWindows
from vidsearch.video.worker_process import claim_standard_output, jobs_from_standard_input


def main() -> None:
    """Serve jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frame_spec, window_spec = _specs(sys.argv[1:7])
    drop_still = sys.argv[7] == "reuse"
    memory_bytes = int(sys.argv[8])
    limit_memory(memory_bytes)
    answers = claim_standard_output()
    if sys.platform != "win32":  # whose pipes know no other way, and no `select`
        os.set_blocking(answers.fileno(), False)
    for job in jobs_from_standard_input():
        serve(job, frame_spec, window_spec, answers, drop_still=drop_still, memory_bytes=memory_bytes)


def serve(
    job: Job,
    frame_spec: FrameSpec,
    window_spec: WindowSpec,
    answers: IO[bytes],
    *,
    drop_still: bool = False,
    memory_bytes: int = DEFAULT_LIMIT_MB * 1_000_000,
) -> None:
    """Decode one file: Opened, its windows, Done; or Failed at any point.

    `drop_still`: of the worker's own windows, those that are still are sent without their frames. `memory_bytes` is
    what the worker may take; a quarter of it may go into pictures that nobody has asked for yet.
    """
    file = job.file
    try:
        _check_unchanged(file)
        mark = fingerprint(file.path) if job.cut is None else None
        with open_reader(file.path, frame_spec, _stderr_bytes) as reader:
            if job.cut is None:
                count, clips = windows_of_spec(reader, window_spec)
            else:
                windows = list(job.cut(reader.facts, reader.starts_s))
                count, clips = len(windows), fill_windows(windows, reader)
            send(answers, Opened(reader.facts, count))
            sparing = partial(_spare, reader, address_space_bytes() + memory_bytes // 4)
            _send_windows(clips, answers, sparing, drop_still=drop_still and job.cut is None)
            facts = reader.facts
        _check_unchanged(file)
        send(answers, Done(facts, mark))
    except VideoError as error:
        send(answers, Failed(error))
    except MemoryError:
        send(answers, Failed(out_of_memory(file.path)))


def _send_windows(
    clips: Iterable[ClipFrames], answers: IO[bytes], while_waiting: Callable[[], None], *, drop_still: bool
) -> None:
    before = StillWindows()
    for clip in clips:
        still = drop_still and before.is_still(clip.frames)
        send(answers, clip.window, None if still else clip.frames, while_waiting)


def _spare(reader: VideoReader, most_bytes: int) -> None:
    if address_space_bytes() > most_bytes:
        reader.spare_memory()


def _stderr_bytes() -> int:
    """How much the libraries have printed: standard error is a file of this process alone."""
    return os.fstat(2).st_size


def _check_unchanged(file: VideoFile) -> None:
    """Raises VideoError if the file is no longer the one that the walk saw: it is still being written."""
    if file_at(file.path) != file:
        raise VideoError("changing", f"{shown(file.path)} is still being written; index it again when it is complete.")


def _specs(arguments: list[str]) -> tuple[FrameSpec, WindowSpec]:
    side, fit, length, stride, frames, kind = arguments
    fits: dict[str, Fit] = {name: name for name in get_args(Fit)}
    kinds: dict[str, WindowKind] = {name: name for name in get_args(WindowKind)}
    return FrameSpec(int(side), fits[fit]), WindowSpec(float(length), float(stride), int(frames), kinds[kind])


if __name__ == "__main__":
    main()
