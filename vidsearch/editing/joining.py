"""A supercut: the moments in one file, one after the other, copied where all sources are coded alike, else encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidsearch.editing.clip_file import ClipFile, open_clip_file
from vidsearch.editing.containers import MATROSKA, MOV, MP4, Container, held_by
from vidsearch.editing.copying import copied_packets
from vidsearch.editing.export import CutOptions, check_targets, explained, ordered, writing
from vidsearch.editing.precise import pictures_of
from vidsearch.editing.process import CuttingProcess
from vidsearch.editing.source import Source, Span, open_source
from vidsearch.errors import VidsearchError
from vidsearch.records import Hit
from vidsearch.video.messages import shown
from vidsearch.video.orientation import Orientation

_KINDS = {".mp4": MP4, ".mov": MOV, ".mkv": MATROSKA}
_TICK = Fraction(1, 90_000)
_SOUND_HZ, _CHANNELS, _PIECE = 48_000, 2, 1024
_QUALITY = {"crf": "16", "preset": "medium"}


@dataclass(frozen=True, slots=True)
class Joining:
    """So many seconds of the supercut are done."""

    done_s: float


@dataclass(frozen=True, slots=True)
class Joined:
    """The supercut is on the disk. `lead_s`: seconds more than were wanted, before all of its moments together."""

    target: Path
    moments: int
    length_s: float
    lead_s: float


def container_of(target: Path) -> Container:
    """The container that a file's name asks for. VidsearchError for another one than .mp4, .mov and .mkv."""
    container = _KINDS.get(target.suffix.lower())
    if container is None:
        raise VidsearchError(f"{shown(target)} is to end with .mp4, .mov or .mkv.")
    return container


def join(hits: Sequence[Hit], target: Path, options: CutOptions) -> Iterator[Joining | Joined]:
    """Writes the supercut, whole or not at all; errors as of `export_clips`.

    A copy needs sources that are coded alike: VidsearchError otherwise.
    """
    container = container_of(target)
    check_targets([target], [hit.path for hit in hits], overwrite=options.overwrite)
    moments = [(hit.path, Span.around(hit, options.pad_s)) for hit in ordered(hits, options.order)]
    subject = "A video of the supercut"
    sources = [path for path, _ in moments]
    with CuttingProcess.over(sources, encodes=options.mode == "precise") as process, writing(target) as partial:
        for outcome in process.run(subject, join_moments, moments, target, partial, container, options):
            if isinstance(outcome, Joining):
                yield outcome
            else:
                joined = outcome
    yield joined


Moments = Sequence[tuple[Path, Span]]


def join_moments(
    moments: Moments, target: Path, partial: Path, container: Container, options: CutOptions
) -> Iterator[Joining | Joined]:
    """How far the supercut is, and at last what it is: work for a process."""
    write = _copy if options.mode == "copy" else _encode
    with explained(target):
        length_s, lead_s = yield from write(moments, partial, container, options)
    yield Joined(target, len(moments), length_s, lead_s)


def _copy(moments: Moments, partial: Path, container: Container, options: CutOptions) -> Any:
    """Generator of `Joining`; returns (length, lead) in seconds."""
    first_path = moments[0][0]
    at_s = lead_s = 0.0
    with open_source(first_path, sound=options.sound) as lead, open_clip_file(partial, container, lead) as clip:
        streams = [lead.video, *held_by(container, lead.others)]
        for stream in streams:
            clip.copy_stream(stream)
        clip.output.start_encoding()
        coded = _coding(lead)
        for path, span in moments:
            with open_source(path, sound=options.sound) as source:
                if _coding(source) != coded:
                    raise VidsearchError(
                        f"{shown(path)} is coded otherwise than {shown(first_path)}; join them with --precise."
                    )
                clip.take_packets_of([source.video, *held_by(container, source.others)], streams)
                zero_s, packets = copied_packets(source, span, source.others)
                end_s = zero_s
                for packet in packets:
                    time_s = source.time_of(packet)
                    if packet.stream_index == source.video.index and time_s is not None:
                        end_s = max(end_s, time_s + float((packet.duration or 0) * source.time_base))
                        yield Joining(at_s + time_s - zero_s)
                    clip.copy_packet(packet, zero_s - at_s)
                at_s += end_s - zero_s
                lead_s += max(0.0, span.start_s - zero_s)
    return at_s, lead_s


def _coding(source: Source) -> tuple[object, ...]:
    """What must be the same for packets of two sources to stand in one stream."""
    context = source.video.codec_context
    sounds = [
        (stream.codec_context.name, stream.codec_context.extradata, getattr(stream, "sample_rate", 0))
        for stream in source.others
        if stream.type == "audio"
    ]
    return (context.name, context.extradata, context.width, context.height, source.header.rotation_deg, *sounds)


def _encode(moments: Moments, partial: Path, container: Container, options: CutOptions) -> Any:
    """Generator of `Joining`; returns (length, 0)."""
    size = _canvas([path for path, _ in moments], sound=options.sound)
    at_s = 0.0
    with open_source(moments[0][0], sound=options.sound) as lead, open_clip_file(partial, container, lead) as clip:
        video, sound = _streams(clip, size, lead, sound=options.sound)
        for path, span in moments:
            with open_source(path, sound=options.sound) as source:
                zero_s: float | None = None
                end_s = 0.0
                for frame, time_s, length_s in pictures_of(source, span):
                    zero_s = time_s if zero_s is None else zero_s
                    end_s = time_s + length_s
                    picture = _on_canvas(frame, source, size)
                    picture.pts, picture.time_base = round((at_s + time_s - zero_s) / _TICK), _TICK
                    clip.output.mux(video.encode(picture))
                    yield Joining(at_s + time_s - zero_s)
                assert zero_s is not None  # pictures_of raises where there is none
            if sound is not None:
                _add_sound(clip, sound, path, Span(zero_s, end_s), at_s)
            at_s += end_s - zero_s
        clip.output.mux(video.encode(None))
        if sound is not None:
            clip.output.mux(sound.encode(None))
    return at_s, 0.0


def _canvas(paths: Sequence[Path], *, sound: bool) -> tuple[int, int]:
    """Width and height, even, of the upright pictures of most moments."""
    sizes: dict[Path, tuple[int, int]] = {}
    for path in dict.fromkeys(paths):
        with open_source(path, sound=sound) as source:
            header = source.header
            width, height = round(header.width_px * header.pixel_aspect), header.height_px
            if header.rotation_deg % 180:
                width, height = header.height_px, round(header.width_px * header.pixel_aspect)
            sizes[path] = (max(2, width & ~1), max(2, height & ~1))
    return Counter(sizes[path] for path in paths).most_common(1)[0][0]


def _streams(
    clip: ClipFile, size: tuple[int, int], lead: Source, *, sound: bool
) -> tuple[VideoStream, AudioStream | None]:
    rate = lead.video.average_rate or Fraction(25)
    video = clip.output.add_stream("libx264", rate=rate, options=_QUALITY)
    video.width, video.height, video.pix_fmt = *size, "yuv420p"
    video.time_base = video.codec_context.time_base = _TICK
    video.codec_context.color_range = ColorRange.MPEG
    track = clip.output.add_stream("aac", rate=_SOUND_HZ) if sound else None
    if track is not None:
        track.codec_context.layout = "stereo"
        track.codec_context.bit_rate = 192_000
    clip.output.start_encoding()
    return video, track


def _on_canvas(frame: VideoFrame, source: Source, size: tuple[int, int]) -> VideoFrame:
    """The frame upright and whole in the middle of a black picture, with brightness from 16 to 235."""
    turned = source.header.orientation
    if turned == Orientation() and source.header.pixel_aspect == 1.0 and (frame.width, frame.height) == size:
        return frame.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)
    picture = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    wide = picture.shape[1] * source.header.pixel_aspect
    high = float(picture.shape[0])
    if turned.rotation_deg % 180:
        wide, high = high, wide
    picture = np.ascontiguousarray(turned.upright(picture))
    scale = min(size[0] / wide, size[1] / high)
    width, height = (max(2, round(side * scale)) for side in (wide, high))
    scaled = VideoFrame.from_ndarray(picture, format="rgb24").reformat(width, height).to_ndarray(format="rgb24")
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    canvas[top : top + height, left : left + width] = scaled[: size[1], : size[0]]
    return VideoFrame.from_ndarray(canvas, format="rgb24").reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)


def _add_sound(clip: ClipFile, track: AudioStream, path: Path, span: Span, at_s: float) -> None:
    """The first sound of a source in stereo; silence where it has none."""
    begin, end = round(at_s * _SOUND_HZ), round((at_s + span.length_s) * _SOUND_HZ)
    samples = _sound_of(path, span, end - begin)
    for start in range(0, end - begin, _PIECE):
        piece = np.ascontiguousarray(samples[:, start : start + _PIECE])
        frame = AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = _SOUND_HZ, begin + start, Fraction(1, _SOUND_HZ)
        clip.output.mux(track.encode(frame))


def _sound_of(path: Path, span: Span, count: int) -> NDArray[np.float32]:
    """(2, count) of the first sound track from the start of the span on."""
    samples = np.zeros((_CHANNELS, count), np.float32)
    with open_source(path, sound=True) as source:
        track = next((stream for stream in source.others if isinstance(stream, AudioStream)), None)
        if track is None:
            return samples
        resampler = av.AudioResampler("fltp", "stereo", _SOUND_HZ)
        for packet in source.packets_from_key_frame(span.start_s):
            if packet.stream_index != track.index:
                continue
            time_s = source.time_of(packet)
            if time_s is not None and time_s > span.end_s:
                break
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue  # a damaged packet is silence
            for frame in frames:
                if not isinstance(frame, AudioFrame):
                    continue
                for part in resampler.resample(frame):
                    if part.time is not None:
                        _lay(samples, part.to_ndarray(), round((part.time - span.start_s) * _SOUND_HZ))
    return samples


def _lay(samples: NDArray[np.float32], part: NDArray[np.float32], first: int) -> None:
    """Put a part into its place, as far as that lies within."""
    start, end = max(first, 0), min(first + part.shape[1], samples.shape[1])
    if start < end:
        samples[:, start:end] = part[:, start - first : end - first]
