"""From a file to the pixels of both encoders: the right pictures, in the reference's order, whatever the clip."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from asking_model import CONFIG
from numpy.typing import NDArray
from support import CLIPS, environment
from torch import Tensor
from video_samples import even_times, make_video, number_in, turn_upright

from vidsearch.answering.interface import Coverage, TimeRange
from vidsearch.answering.mobilevideogpt.frames import MomentPixels, read_moment
from vidsearch.models.mobilevideogpt.config import IMAGENET_PIXELS
from vidsearch.models.mobilevideogpt.frame_sampling import sample_frames
from vidsearch.models.mobilevideogpt.pixels import preprocess_image, preprocess_video

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")


def pictures(path: Path, wanted: TimeRange = TimeRange(), coverage: Coverage = "reference") -> MomentPixels:
    return read_moment(path, wanted, coverage, CONFIG)


def numbers_in(pixels: Tensor) -> list[int]:
    """The numbers that the pictures (F, 3, S, S) of the video encoder show."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_PIXELS.mean, IMAGENET_PIXELS.std))
    levels = ((pixels * std + mean) * 255).round().clamp(0, 255).permute(0, 2, 3, 1).byte().numpy()
    return [number_in(picture) for picture in levels]


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    """All pictures of a file in their own size, by FFmpeg alone."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_pixels_are_those_of_the_whole_pictures() -> None:
    path = CLIPS / "red-square-left.mp4"
    frames = decoded(path)
    seen = pictures(path)
    chosen = [frames[number] for number in sample_frames(len(frames), 30.0)]
    # The two decoders turn YCbCr into RGB with roundings of their own: a level, after normalisation 1 / 255 / 0.22.
    torch.testing.assert_close(seen.image, preprocess_image(chosen, 32), atol=0.02, rtol=0)
    torch.testing.assert_close(seen.video, preprocess_video(chosen, 32), atol=0.02, rtol=0)


def test_a_clip_of_one_frame(tmp_path: Path) -> None:
    seen = pictures(make_video(tmp_path / "one.mp4", [0.0]))
    assert seen.times_s == (0.0,)
    assert numbers_in(seen.video[:1]) == [0]
    assert not seen.video[1:].any()
    assert seen.image.shape == seen.video.shape == (16, 3, 32, 32)


def test_a_clip_of_fewer_frames_than_sixteen(tmp_path: Path) -> None:
    seen = pictures(make_video(tmp_path / "few.mp4", even_times(9, 25)))
    assert numbers_in(seen.video[:9]) == list(range(9))
    assert not seen.image[9:].any()


def test_a_clip_of_less_than_half_a_frame_a_second(tmp_path: Path) -> None:
    seen = pictures(make_video(tmp_path / "slow.mp4", even_times(40, 0.25)))
    expected = sample_frames(40, 0.25)
    assert numbers_in(seen.video) == expected
    assert seen.times_s == pytest.approx([4.0 * number for number in expected])


def test_a_clip_of_variable_rate_that_starts_late(tmp_path: Path) -> None:
    """Pictures are counted, as the reference does, and their times are those of the file."""
    times = [5.0 + 0.04 * number for number in range(50)] + [7.0 + 0.5 * number for number in range(50)]
    seen = pictures(make_video(tmp_path / "variable.mkv", times))
    expected = sample_frames(100, 100 / (times[-1] + 0.5 - 5.0))
    assert numbers_in(seen.video) == expected
    assert seen.times_s == pytest.approx([times[number] for number in expected], abs=0.0011)


def test_a_range_of_a_clip(tmp_path: Path) -> None:
    path = make_video(tmp_path / "long.mp4", even_times(250, 25))
    assert numbers_in(pictures(path, TimeRange(4.0, 8.0)).video) == [100 + n for n in sample_frames(100, 25)]
    assert numbers_in(pictures(path, TimeRange(4.0, 8.0), "full").video) == [
        int(100 + (n + 0.5) * 6.25) for n in range(16)
    ]


def test_a_clip_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    path = make_video(tmp_path / "phone.mp4", even_times(30, 25))
    lying = pictures(path).video
    turn_upright(path)
    assert torch.equal(pictures(path).video, lying.rot90(-1, (2, 3)))


@ON_LINUX
@pytest.mark.slow
def test_a_clip_of_two_hours_in_no_more_memory(tmp_path: Path) -> None:
    options = {"preset": "ultrafast"}
    short = make_video(tmp_path / "short.mp4", even_times(20, 1.0), codec_options=options)
    long = make_video(tmp_path / "long.mp4", even_times(7200, 1.0), codec_options=options)
    assert numbers_in(pictures(long).video) == sample_frames(7200, 1.0)
    # The list of the frames costs 20 MiB; the frames themselves would take 84, in each of the two processes.
    assert peak_mib(long) < peak_mib(short) + 40


@ON_LINUX
@pytest.mark.slow
def test_large_pictures_are_taken_one_by_one(tmp_path: Path) -> None:
    """Sixteen pictures of 5 million pixels would be 225 MiB, in the program and once more in its decoder."""
    path = tmp_path / "large.mp4"
    make_video(path, even_times(18, 1.0), width_px=2560, height_px=1920, codec_options={"preset": "ultrafast"})
    small = make_video(tmp_path / "small.mp4", even_times(18, 1.0))
    assert peak_mib(path) < peak_mib(small) + 300


def peak_mib(path: Path) -> float:
    """The largest memory of a process that reads a moment, and of its decoder, as sampled.

    `getrusage` would not do: the largest memory that it tells of a process counts its parent's, from before the exec.
    """
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from asking_model import CONFIG\n"
        "from vidsearch.answering.interface import TimeRange\n"
        "from vidsearch.answering.mobilevideogpt.frames import read_moment\n"
        "read_moment(Path(sys.argv[1]), TimeRange(), 'reference', CONFIG)"
    )
    tests = str(Path(__file__).parents[3])
    run = subprocess.Popen([sys.executable, "-c", script, str(path), tests], env=environment())
    peak = 0
    while run.poll() is None:
        # By command line: between fork and exec a child is its parent once more, in the same memory.
        peak = max(peak, sum(dict(map(resident_pages, family(run.pid))).values()))
        time.sleep(0.01)
    assert run.returncode == 0
    return peak * os.sysconf("SC_PAGE_SIZE") / 2**20


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        children = [
            int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
        ]
    except OSError:  # it has just ended
        return [pid]
    return [pid, *(member for child in children for member in family(child))]


def resident_pages(pid: int) -> tuple[bytes, int]:
    """A process's command line and how much it has in memory."""
    place = Path(f"/proc/{pid}")
    try:
        return (place / "cmdline").read_bytes(), int((place / "statm").read_text().split()[1])
    except OSError:
        return b"", 0
