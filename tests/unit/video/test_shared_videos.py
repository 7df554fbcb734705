"""The 170 shared videos: each ends as its manifest says, and the frames chosen are those that FFmpeg shows.

The judge is an FFmpeg of its own (imageio-ffmpeg's binary), which decodes frame by frame without seeking. A picture is
right when the frame that FFmpeg shows at the time is the one most like it among all, or one that cannot be told from
that one: still scenes have many.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from support import SHARED

from vidsearch.records import FrameSpec, VideoFacts, VideoFile, WindowSpec
from vidsearch.video.doubts import doubts
from vidsearch.video.header import opened, probe
from vidsearch.video.pool import DecodeFailed, DecodePool, VideoDone
from vidsearch.video.reader import open_reader
from vidsearch.video.windows import cut_windows

VIDEOS = SHARED / "videos"
MANIFEST = VIDEOS / "manifest.json"
pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="the shared videos are not beside the repository")

FILES: list[dict[str, Any]] = json.loads(MANIFEST.read_text())["files"] if MANIFEST.exists() else []
SIDE_PX = 32
# FFmpeg's part of the work, in decoded pixels a file: longer and larger ones are judged by their first frames.
PIXELS_JUDGED = 3e7
INDISTINGUISHABLE = 1.0  # mean difference of 255 between two builds of swscale, and between neighbours in a still scene
# "error" in the manifest for want of an AV1 decoder ("or fall back"): the PyAV of this project has one.
FALLS_BACK = {"codec_av1.mp4", "av1_real.mkv"}
# What decord alone shows wrongly or refuses, measured for the manifest.
NOT_FOR_DECORD = {"wrong frames", "error"}


def expected_kind(entry: dict[str, Any]) -> str:
    kind: str = entry["expected"]["kind"]
    if entry["name"] in FALLS_BACK:
        return "decodable"
    return entry["expected"]["error_kind"] if kind == "error" else kind


def sound(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those without damage, of which every frame can be judged."""
    return [entry for entry in entries if expected_kind(entry) == "decodable"]


def by_name(entry: dict[str, Any]) -> str:
    return str(entry["name"])[:40]


def outcomes(entries: list[dict[str, Any]]) -> dict[str, tuple[str, VideoFacts | None]]:
    """By name: the kind of ending and the facts, through real worker processes."""
    files = {}
    for entry in entries:
        path = VIDEOS / entry["path"]
        status = path.stat()
        files[VideoFile(path, status.st_size, status.st_mtime_ns)] = entry["name"]
    ends: dict[str, tuple[str, VideoFacts | None]] = {}
    with DecodePool(2, FrameSpec(SIDE_PX), WindowSpec(stride_s=8.0)) as pool:
        for event in pool.decode(files):
            if isinstance(event, VideoDone):
                ends[files[event.file]] = ("partial" if event.facts.damage else "decodable"), event.facts
            elif isinstance(event, DecodeFailed):
                ends[files[event.file]] = event.error.kind, None
    return ends


def test_every_edge_case_ends_as_the_manifest_says() -> None:
    edge = [entry for entry in FILES if entry["path"].startswith("edge/")]
    ends = outcomes(edge)
    assert len(ends) == 112
    assert {name: kind for name, (kind, _) in ends.items()} == {entry["name"]: expected_kind(entry) for entry in edge}


def test_every_clip_is_read_whole_with_the_length_that_its_container_states() -> None:
    clips = [entry for entry in FILES if entry["path"].startswith("clips/")]
    ends = outcomes(clips)
    assert len(ends) == 58
    wrong = []
    for entry in clips:
        kind, facts = ends[entry["name"]]
        assert facts is not None, (entry["name"], kind)
        if kind != "decodable" or abs(facts.duration_s - entry["duration"]) * facts.fps > 1.01:
            wrong.append((entry["name"], kind, facts.duration_s, entry["duration"]))
    assert wrong == []


@pytest.mark.parametrize(
    "entry", [entry for entry in FILES if entry["expected"].get("with_plain_decord") in NOT_FOR_DECORD], ids=by_name
)
def test_what_decord_shows_wrongly_is_not_left_to_it(entry: dict[str, Any]) -> None:
    # What works with width, height and one thread given, as decord is opened here, or fails only at the damage (then
    # PyAV takes over) is no reason for doubt; everything else must be.
    path = VIDEOS / entry["path"]
    if entry["expected"]["kind"] == "error" and entry["name"] not in FALLS_BACK:
        pytest.skip("not readable at all")
    if entry["name"] in {"corrupt_middle.mp4", "corrupt_middle.mkv", "hole_of_zeros.mp4", "corrupted_decord_test.mp4"}:
        with open_reader(path, FrameSpec(SIDE_PX)) as reader:
            assert reader.facts.frames > 0
        return
    assert doubts(probe(path)) != []


def test_colours_of_an_old_encoder_are_right_from_the_middle_on() -> None:
    """x264 of 2015 in 4:4:4: what was wrong about it is known from its first packet alone."""
    path = VIDEOS / "edge" / "h264_444_mouse.mp4"
    with open_reader(path, FrameSpec(SIDE_PX)) as reader:
        [picture] = reader.frames_at([31.4])
    assert picture.mean(axis=(0, 1)) == pytest.approx(
        [176, 176, 176], abs=2
    )  # a grey film; it came out green (PyAV) or as noise (decord)


@pytest.mark.parametrize("entry", sound(FILES), ids=by_name)
def test_the_frames_are_those_that_ffmpeg_shows(entry: dict[str, Any]) -> None:
    path = VIDEOS / entry["path"]
    budget = max(40, int(PIXELS_JUDGED / (entry["width"] * entry["height"])))
    starts_s, pictures = decoded_by_ffmpeg(path, budget)
    whole = len(starts_s) < budget
    with open_reader(path, FrameSpec(SIDE_PX)) as reader:
        facts = reader.facts
        times = sorted(
            {time for window in cut_windows(facts.start_s, facts.picture_s, WindowSpec()) for time in window.times_s}
        )
        judged = [time for time in times if whole or time < starts_s[-1]]
        assert judged
        chosen = list(reader.frames_at(judged))
    step = 1.01 / facts.fps
    assert abs(facts.start_s - starts_s[0]) < step
    if whole:
        end_s = facts.start_s + facts.picture_s
        assert starts_s[-1] < end_s
        assert facts.frames == pytest.approx(len(starts_s), abs=5)  # hidden frames of VP9 are counted by their packets
    assert wrong_frames(judged, chosen, starts_s, pictures) == []


def wrong_frames(
    times_s: list[float], chosen: list[NDArray[np.uint8]], starts_s: NDArray[np.float64], pictures: NDArray[np.uint8]
) -> list[tuple[float, int, int]]:
    """(time, right frame, frame most like the chosen one) for each frame that is another than FFmpeg's."""
    wrong = []
    for time, frame in zip(times_s, chosen, strict=True):
        right = max(int(np.searchsorted(starts_s, time + 2e-5, side="right")) - 1, 0)  # FFmpeg prints 6 digits
        differences = np.abs(pictures.astype(np.int16) - frame).mean(axis=(1, 2, 3))
        if differences[right] > differences.min() + INDISTINGUISHABLE:
            wrong.append((time, right, int(differences.argmin())))
    return wrong


def decoded_by_ffmpeg(path: Path, frames: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Start times (N,) and pictures (N, side, side, 3) of the first frames, by an independent FFmpeg from the start."""
    with opened(path) as (_, stream):
        track = stream.index
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-threads", "1", "-copyts"]
    command += ["-i", b"file:" + os.fsencode(path), "-map", f"0:{track}", "-fps_mode", "passthrough"]  # type: ignore[list-item]  # a name is bytes
    filters = f"showinfo,scale={SIDE_PX}:{SIDE_PX}:flags=bilinear,format=rgb24"
    command += ["-vf", filters, "-frames:v", str(frames), "-f", "rawvideo", "-"]
    run = subprocess.run(command, capture_output=True, check=True, timeout=120)
    times = re.findall(rb"pts_time:\s*(-?[0-9.e+-]+)", run.stderr)
    pictures = np.frombuffer(run.stdout, dtype=np.uint8).reshape(-1, SIDE_PX, SIDE_PX, 3)
    return np.array([float(time) for time in times[: len(pictures)]]), pictures
