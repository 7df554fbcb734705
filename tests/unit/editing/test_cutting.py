"""Clips: the right pictures, all of the sound and subtitles, the source's tags; and nothing half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from support import SHARED, environment
from video_samples import even_times, make_film, make_video, number_in, turn_upright

from vidsearch.editing.export import ClipWritten, CutOptions, Cutting, export_clips, plan_clips
from vidsearch.editing.naming import clip_name
from vidsearch.editing.process import CuttingProcess, longest_silence_s
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.records import Hit

RECORDED = "2024-05-06T07:08:09.000000Z"
CHILDREN_ARE_LISTED = pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
COPY, PRECISE = CutOptions("copy"), CutOptions("precise")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same film in two containers: 100 pictures at 25 a second, a key frame every second."""
    folder = tmp_path_factory.mktemp("films")
    tags = {"creation_time": RECORDED, "title": "A film"}
    return {suffix: make_film(folder / f"film.{suffix}", tags=tags) for suffix in ("mp4", "mkv")}


def hit(path: Path, start_s: float, end_s: float, number: int = 1) -> Hit:
    return Hit(number, path, start_s, end_s, (start_s + end_s) / 2, 0.5, "model")


def cut(hits: list[Hit], folder: Path, options: CutOptions) -> list[ClipWritten]:
    outcomes = list(export_clips(plan_clips(hits, folder, options), options))
    assert any(isinstance(outcome, Cutting) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, ClipWritten)]


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [number_in(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def clicks(path: Path, track: int) -> list[float]:
    """When each click begins, in seconds."""
    times: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=track):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()).max(axis=0) > 0.2)
            at_s = float(frame.pts * frame.time_base) + loud[0] / frame.sample_rate if len(loud) else None
            if at_s is not None and (not times or at_s - times[-1] > 0.5):
                times.append(at_s)
    return times


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_copy_begins_at_the_key_frame_before_and_says_how_much_more_that_is(
    films: dict[str, Path], suffix: str, tmp_path: Path
) -> None:
    [done] = cut([hit(films[suffix], 1.4, 3.2)], tmp_path, COPY)
    assert done.clip.target.suffix == f".{suffix}"
    assert done.lead_s == pytest.approx(0.4)
    shown = numbers(done.clip.target)
    assert shown[:55] == list(range(25, 80))
    assert len(shown) <= 55 + 3  # what a last picture is built on may come along


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("start_s", "end_s", "first", "behind"),
    [(1.4, 3.2, 35, 80), (1.41, 3.21, 35, 81), (0.0, 0.04, 0, 1), (3.5, 9.0, 87, 100)],
)
def test_a_precise_cut_is_exact_to_the_frame(
    films: dict[str, Path], suffix: str, start_s: float, end_s: float, first: int, behind: int, tmp_path: Path
) -> None:
    [done] = cut([hit(films[suffix], start_s, end_s)], tmp_path, PRECISE)
    assert numbers(done.clip.target) == list(range(first, behind))
    assert done.report.span.start_s == pytest.approx(first / 25)
    assert done.report.span.end_s == pytest.approx(behind / 25)


@pytest.mark.parametrize("options", [COPY, PRECISE])
def test_all_sound_and_subtitles_stay_in_time(films: dict[str, Path], options: CutOptions, tmp_path: Path) -> None:
    [done] = cut([hit(films["mkv"], 1.4, 3.2)], tmp_path, options)
    zero_s = done.report.span.start_s
    with av.open(str(done.clip.target)) as clip:
        assert [stream.language for stream in clip.streams.audio] == ["eng", "fra"]
        lines = [packet for packet in clip.demux(subtitles=0) if packet.size]
        assert [bytes(line) for line in lines] == [b"What is read."]
        [line] = lines
        assert float(line.pts * line.time_base) < 0.1
        end_s = float((line.pts + line.duration) * line.time_base)
        assert end_s == pytest.approx(2.5 - zero_s, abs=0.1)
    for track in (0, 1):
        heard = clicks(done.clip.target, track)
        expected = [second - zero_s for second in (1.0, 2.0, 3.0) if second > zero_s + 0.1]
        assert heard[-len(expected) :] == pytest.approx(expected, abs=0.07)  # the encoder's delay and a packet


@pytest.mark.parametrize("options", [COPY, PRECISE])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_date_title_and_colours_are_kept(
    films: dict[str, Path], suffix: str, options: CutOptions, tmp_path: Path
) -> None:
    [done] = cut([hit(films[suffix], 1.0, 2.0)], tmp_path, options)
    with av.open(str(done.clip.target)) as clip:
        assert clip.metadata["creation_time"] == RECORDED
        assert clip.metadata["title"] == "A film"
        context = clip.streams.video[0].codec_context
        colours = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        assert colours == (9, 16, 9, 1)


@pytest.mark.parametrize("options", [COPY, PRECISE])
def test_a_turned_picture_stays_turned(options: CutOptions, tmp_path: Path) -> None:
    video = make_video(tmp_path / "phone.mp4", even_times(50, 25), b_frames=0)
    turn_upright(video)
    [done] = cut([hit(video, 0.5, 1.5)], tmp_path / "clips", options)
    rotations = []
    for path in (video, done.clip.target):
        with av.open(str(path)) as container:
            rotations.append(next(container.decode(video=0)).rotation)
    assert rotations[0] == rotations[1] != 0


def test_sound_can_be_left_out(films: dict[str, Path], tmp_path: Path) -> None:
    [done] = cut([hit(films["mkv"], 1.0, 2.0)], tmp_path, CutOptions("copy", sound=False))
    with av.open(str(done.clip.target)) as clip:
        assert (len(clip.streams.audio), len(clip.streams.subtitles)) == (0, 1)


def test_padding_goes_around_and_not_before_the_beginning(films: dict[str, Path], tmp_path: Path) -> None:
    options = CutOptions("precise", pad_s=0.5)
    first, second = cut([hit(films["mp4"], 0.2, 0.4, 1), hit(films["mp4"], 2.0, 2.2, 2)], tmp_path, options)
    assert numbers(first.clip.target) == list(range(23))
    assert numbers(second.clip.target) == list(range(37, 68))


def test_variable_times_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.5, 0.55, 0.9, 1.0, 1.4, 1.45, 1.5]
    video = make_video(tmp_path / "vfr.mkv", times)
    [done] = cut([hit(video, 0.52, 1.42)], tmp_path / "clips", PRECISE)
    with av.open(str(done.clip.target)) as clip:
        shown = [(number_in(frame.to_ndarray(format="rgb24")), frame.time) for frame in clip.decode(video=0)]
    assert [number for number, _ in shown] == [3, 4, 5, 6, 7]
    assert [time - shown[0][1] for _, time in shown] == pytest.approx([0.0, 0.05, 0.4, 0.5, 0.9], abs=0.002)


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("png", "rgba", "mov"),
        ("libx264rgb", "rgb24", "mkv"),
        ("ffv1", "bgr0", "mkv"),
        ("mjpeg", "yuvj420p", "avi"),
        ("libx264", "yuvj420p", "mp4"),
    ],
)
def test_colours_of_rgb_and_of_the_full_range_stay(tmp_path: Path, codec: str, pixels: str, suffix: str) -> None:
    film = tmp_path / f"rgb.{suffix}"
    with av.open(str(film), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), (200, 60, 30), np.uint8))))
        container.mux(stream.encode(None))
    [done] = cut([hit(film, 0.1, 0.3)], tmp_path / "clips", PRECISE)
    assert mean_colour(done.clip.target) == pytest.approx(mean_colour(film), abs=2)


def mean_colour(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return picture.mean(axis=(0, 1)).tolist()


def test_pixels_that_a_copy_would_mix_up_are_not_copied(tmp_path: Path) -> None:
    film = make_video(tmp_path / "raw.avi", even_times(20, 25), codec="rawvideo", own_rate=True)
    with pytest.raises(VideoError, match="cut it with --precise"):
        cut([hit(film, 0.2, 0.4)], tmp_path / "copies", COPY)
    [done] = cut([hit(film, 0.2, 0.4)], tmp_path / "clips", PRECISE)
    assert numbers(done.clip.target) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("options", [COPY, PRECISE])
def test_a_bare_stream_is_told_with_a_way_out(options: CutOptions, tmp_path: Path) -> None:
    film = make_video(tmp_path / "bare.h264", even_times(50, 25))
    with pytest.raises(VideoError, match="put it into an MP4 or Matroska file first"):
        cut([hit(film, 0.5, 1.0)], tmp_path / "clips", options)


def test_a_picture_that_comes_after_one_shown_far_later_is_found(tmp_path: Path) -> None:
    video = make_video(tmp_path / "slow.mp4", [0.0, 15.0, 30.0, 45.0, 60.0, 75.0], b_frames=3)
    [done] = cut([hit(video, 16.0, 17.0)], tmp_path / "clips", PRECISE)
    assert numbers(done.clip.target) == [1]
    assert done.report.span.start_s == pytest.approx(15.0)


def test_a_clock_as_coarse_as_the_frames_moves_no_cut(tmp_path: Path) -> None:
    video = make_video(tmp_path / "old.avi", even_times(50, 25), codec="mpeg4", own_rate=True)
    [done] = cut([hit(video, 0.62, 1.1)], tmp_path / "clips", PRECISE)
    shown = numbers(done.clip.target)
    assert shown[-1] - shown[0] == 27 - 15
    assert done.report.span.start_s == pytest.approx(0.6)


def test_names_sort_by_rank_or_by_time(films: dict[str, Path], tmp_path: Path) -> None:
    hits = [hit(films["mp4"], 2.0, 3.0, 4), hit(films["mp4"], 0.5, 1.0, 9)]
    for order, first in (("rank", 2.0), ("time", 0.5)):
        clips = plan_clips(hits, tmp_path, CutOptions(order=order))  # type: ignore[arg-type]
        assert sorted(clip.target.name for clip in clips) == [clip.target.name for clip in clips]
        assert clips[0].hit.start_s == first
    assert clips[0].target.name == "01_film_00-00-00.500_00-00-01.000.mp4"


def test_any_name_makes_a_name_that_every_file_system_takes() -> None:
    odd = Path("-a\nb:c?\udce9 " + "日" * 200 + ".mp4")
    name = clip_name(7, 1200, odd, 3725.5, 3726.0, ".mkv")
    assert name.startswith("0007_-a_b_c__ 日日")
    assert name.endswith("_01-02-05.500_01-02-06.000.mkv")
    assert len(name.encode()) < 200
    assert clip_name(1, 1, Path(" ..mp4"), 0, 1, ".mp4").startswith("01_")


def test_nothing_is_overwritten_and_a_source_never(films: dict[str, Path], tmp_path: Path) -> None:
    wanted = [hit(films["mp4"], 1.0, 2.0)]
    [done] = cut(wanted, tmp_path, COPY)
    before = done.clip.target.read_bytes()
    with pytest.raises(VidsearchError, match=r"would be overwritten; .* --force"):
        plan_clips(wanted, tmp_path, COPY)
    cut(wanted, tmp_path, CutOptions("precise", overwrite=True))
    assert done.clip.target.read_bytes() != before
    own = tmp_path / "01_film_00-00-01.000_00-00-02.000.mp4"
    films["mp4"].with_name(own.name).unlink(missing_ok=True)
    own.unlink()
    own.symlink_to(films["mp4"])
    with pytest.raises(VidsearchError, match="is a video that is cut"):
        plan_clips(wanted, tmp_path, CutOptions(overwrite=True))


def test_a_source_that_vanishes_leaves_the_finished_clips_whole(films: dict[str, Path], tmp_path: Path) -> None:
    gone = tmp_path / "gone.mp4"
    gone.write_bytes(films["mp4"].read_bytes())
    out = tmp_path / "clips"
    clips = plan_clips([hit(films["mp4"], 1.0, 2.0), hit(gone, 1.0, 2.0, 2)], out, COPY)
    gone.unlink()
    with pytest.raises(VideoError, match="is not there now"):
        list(export_clips(clips, COPY))
    assert [path.name for path in out.iterdir()] == [clips[0].target.name]
    assert numbers(clips[0].target)[:25] == list(range(25, 50))


def test_a_moment_behind_the_end_is_said_and_leaves_no_file(films: dict[str, Path], tmp_path: Path) -> None:
    for options in (COPY, PRECISE):
        with pytest.raises(VideoError, match=r"has no pictures from 50\.0 to 51\.0 s"):
            cut([hit(films["mp4"], 50.0, 51.0)], tmp_path, options)
    assert not list(tmp_path.iterdir())


@CHILDREN_ARE_LISTED
def test_a_process_that_is_killed_is_one_error_and_leaves_no_half_file(films: dict[str, Path], tmp_path: Path) -> None:
    hits = [hit(films["mp4"], 1.0, 1.5), hit(films["mp4"], 0.0, 4.0, 2)]
    clips = plan_clips(hits, tmp_path, PRECISE)
    with pytest.raises(VideoError, match=r"film\.mp4 made the process that cuts crash \(exit -9\)") as caught:
        for outcome in export_clips(clips, PRECISE):
            for worker in cutting_processes() if outcome.clip is clips[1] else ():
                os.kill(worker, signal.SIGKILL)
    assert caught.value.kind == "crashed"
    assert [path.name for path in tmp_path.iterdir()] == [clips[0].target.name]
    assert numbers(clips[0].target) == list(range(25, 38))


@CHILDREN_ARE_LISTED
def test_a_process_that_hangs_is_one_error_and_leaves_no_half_file(
    films: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = plan_clips([hit(films["mp4"], 1.0, 1.5), hit(films["mp4"], 0.0, 4.0, 2)], tmp_path, PRECISE)
    monkeypatch.setattr("vidsearch.editing.process._SILENT_ENCODER_S", 12.0)  # it must start and encode in less
    with pytest.raises(
        VideoError, match=r"film\.mp4 kept the process that cuts busy for 12 s without a result"
    ) as caught:
        for outcome in export_clips(clips, PRECISE):
            for worker in cutting_processes() if outcome.clip is clips[1] else ():
                os.kill(worker, signal.SIGSTOP)
    assert caught.value.kind == "timeout"
    assert cutting_processes() == []
    assert [path.name for path in tmp_path.iterdir()] == [clips[0].target.name]
    assert numbers(clips[0].target) == list(range(25, 38))


def test_time_counts_while_nothing_comes_and_not_while_what_came_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with CuttingProcess(encodes=False, silent_s=60.0) as process:
        list(process.run("a.mp4", bytes, 1))  # type: ignore[arg-type]  # it has started
        monkeypatch.setattr(process, "_silent_s", 3.0)
        for _ in process.run("a.mp4", bytes, 1):  # type: ignore[arg-type]
            time.sleep(4.0)
        with pytest.raises(VideoError, match=r"a\.mp4 kept the process that cuts busy for 3 s") as caught:
            list(process.run("a.mp4", time.sleep, 60))  # type: ignore[arg-type]
    assert caught.value.kind == "timeout"


def test_a_large_source_may_take_longer_until_its_first_picture(tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    small_s, large_s = (longest_silence_s(sources, encodes=False) for sources in ([], [tmp_path / "gone.mp4", large]))
    assert large_s == pytest.approx(small_s + 20.0)
    assert longest_silence_s([large], encodes=True) > large_s


@CHILDREN_ARE_LISTED
def test_whoever_stops_listening_ends_the_process(films: dict[str, Path], tmp_path: Path) -> None:
    outcomes = export_clips(plan_clips([hit(films["mp4"], 0.0, 4.0)], tmp_path, PRECISE), PRECISE)
    assert isinstance(next(outcomes), Cutting)
    assert len(cutting_processes()) == 1
    outcomes.close()  # type: ignore[attr-defined]  # as Ctrl-C does
    assert cutting_processes() == []
    assert not list(tmp_path.iterdir())


@CHILDREN_ARE_LISTED
def test_a_process_that_cuts_has_a_limit_of_memory_and_shows_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSEARCH_DECODER_MB", "200")
    with CuttingProcess(encodes=False, silent_s=60.0) as process:
        assert list(process.run("a.mp4", bytes, 3)) == [0, 0, 0]  # type: ignore[arg-type]
        first = process.pid
        with pytest.raises(VideoError, match=r"^a\.mp4 needs more memory than cutting may take; allow more"):
            list(process.run("a.mp4", bytes, 300_000_000))  # type: ignore[arg-type]
        assert list(process.run("a.mp4", bytes, 1)) == [0]  # type: ignore[arg-type]
        assert process.pid == first
        with pytest.raises(RuntimeError, match="invalid literal for int"):
            list(process.run("a.mp4", int, "x"))  # type: ignore[arg-type]
        with pytest.raises(VideoError, match=r"made the process that cuts crash \(exit 7\); leave it out"):
            list(process.run("a.mp4", os._exit, 7))
        assert list(process.run("a.mp4", bytes, 1)) == [0]  # type: ignore[arg-type]  # in a new one


def cutting_processes() -> list[int]:
    """Children of this process that cut."""
    tasks = Path("/proc/self/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in children if b"vidsearch.editing.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


FULL_DISK = """
import resource, sys
from pathlib import Path
from vidsearch.editing.export import CutOptions, export_clips, plan_clips
from vidsearch.errors import VidsearchError
from vidsearch.records import Hit
source, out, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
hits = [Hit(1, source, 1.0, 1.04, 1.0, 0.0, "m"), Hit(2, source, 0.0, 4.0, 1.0, 0.0, "m")]
clips = plan_clips(hits, out, CutOptions(mode))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    list(export_clips(clips, CutOptions(mode)))
except VidsearchError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files here")
@pytest.mark.parametrize("mode", ["copy", "precise"])
def test_a_full_disk_is_one_sentence_and_no_half_file(films: dict[str, Path], mode: str, tmp_path: Path) -> None:
    """A limit on the size of a file refuses writes in the middle of one, as a full disk does."""
    small = tmp_path / "small"
    [done] = cut([hit(films["mkv"], 1.0, 1.04)], small, CutOptions(mode))  # type: ignore[arg-type]
    room = done.clip.target.stat().st_size + 500
    out = tmp_path / "clips"
    program = [sys.executable, "-c", FULL_DISK, str(films["mkv"]), str(out), mode, str(room)]
    ended = subprocess.run(program, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("cannot be written (the disk is full); 1 of 2 clips are finished.\n")
    assert len(ended.stdout.splitlines()) == 1
    assert [path.name[:3] for path in out.iterdir()] == ["01_"]


@pytest.mark.skipif(not SHARED.exists(), reason="the shared test material is not beside the repository")
@pytest.mark.parametrize(
    "name",
    ["edge/subtitles_ass_srt.mkv", "edge/phone_portrait_rot90.mp4", "edge/codec_mpeg4_xvid.avi", "edge/codec_h264.ts"],
)
@pytest.mark.parametrize("options", [COPY, PRECISE])
def test_real_files_keep_their_streams_and_shape(name: str, options: CutOptions, tmp_path: Path) -> None:
    check_real_file(SHARED / "videos" / name, options, tmp_path)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared test material is not beside the repository")
def test_colours_of_an_old_encoder_are_kept_from_the_middle_on(tmp_path: Path) -> None:
    """x264 of 2015 in 4:4:4: what was wrong about it is known from its first packet alone."""
    [done] = cut([hit(SHARED / "videos" / "edge" / "h264_444_mouse.mp4", 31.4, 31.6)], tmp_path, PRECISE)
    with av.open(str(done.clip.target)) as clip:
        first = next(clip.decode(video=0)).to_ndarray(format="rgb24")
    assert first.mean(axis=(0, 1)) == pytest.approx([176, 176, 176], abs=2)  # a grey film; it came out green


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the shared test material is not beside the repository")
@pytest.mark.parametrize("options", [COPY, PRECISE])
def test_every_real_clip_is_cut(options: CutOptions, tmp_path: Path) -> None:
    paths = [*(SHARED / "videos" / "clips").iterdir(), *(SHARED / "videos" / "edge").glob("codec_*")]
    for number, path in enumerate(sorted(paths)):
        check_real_file(path, options, tmp_path / str(number))


def check_real_file(path: Path, options: CutOptions, folder: Path) -> None:
    """Half a second from the middle of a file: its streams, its shape, sound pictures, and those of that time."""
    with av.open(str(path), metadata_errors="replace") as source:
        length_s = (source.duration or 0) / av.time_base
        streams = [len(source.streams.audio), len(source.streams.subtitles)]
        first = next(source.decode(source.streams.best("video")))
        shape = (first.width & ~1, first.height & ~1, first.rotation)
        start = (source.start_time or 0) / av.time_base + length_s / 2
    [done] = cut([hit(path, start, start + min(0.5, length_s / 4))], folder, options)
    assert done.report.left_out == (), path
    with av.open(str(done.clip.target), metadata_errors="replace") as clip:
        assert [len(clip.streams.audio), len(clip.streams.subtitles)] == streams, path
        frames = list(clip.decode(video=0))
    assert (frames[0].width & ~1, frames[0].height & ~1, frames[0].rotation) == shape, path
    assert not any(frame.is_corrupt for frame in frames), path
    assert done.report.span.start_s <= start + 0.001, path
    if options.mode == "precise":
        assert start - done.report.span.start_s < 1.1, path
