"""The reader for everything that decord cannot be trusted with: PyAV, from the packets up.

Opening reads through the file once without decoding (the timetable: when each picture is shown, where the key frames
stand, what an edit list hides, what is damaged); reading goes through it again and decodes, of each group of pictures
that holds a wanted one, as much as that one needs. No seeking: a group is known by its packets, not by an index that
may lie. Pictures are scaled as decord scales them (swscale, bilinear), so that both give one vector.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidsearch.errors import VideoError
from vidsearch.records import FrameSpec, VideoFacts
from vidsearch.video.header import Header, encrypted, opened, packets_of
from vidsearch.video.messages import shown
from vidsearch.video.picture import cut_square, scaled_size
from vidsearch.video.scrambling import names_access_system
from vidsearch.video.timeline import FAR_S, hole_s, recordings, trusted

# Codecs whose key frames reset the decoder, in containers that say which packets they are.
_CLEAN_GROUPS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg", "prores", "dnxhd"})
# Containers without presentation times: a picture is shown when the next packet would be decoded.
_NO_PRESENTATION_TIMES = frozenset({"avi"})
# Codecs of which FFmpeg can leave out the pictures that no other picture is built on.
_SKIPS_UNREFERENCED = frozenset({"h264", "hevc"})
_SMALL_GAP_PACKETS = 8  # going on is cheaper than emptying the decoder and starting it anew
_MICROSECOND = 1e-6
_NO_TIME = -(1 << 62)


@dataclass(slots=True)
class _Damage:
    """What was wrong, counted while reading."""

    packets: int = 0  # that the demuxer or the decoder refused
    pictures: int = 0  # that came out with parts made up
    cut_short: bool = False  # the demuxer stopped at an error
    recordings: int = 1  # in the one file, each with times of its own
    times: int = 0  # of pictures that cannot be trusted
    hole_s: float | None = None  # a step between two pictures far beyond the usual one

    def sentence(self, path: Path, header: Header, picture_s: float, read_s: float) -> str | None:
        """One sentence for the user; None for a sound file. `read_s`: until when there was anything to read."""
        length = f"{picture_s:.1f} s"
        if header.ends_early or self.cut_short:
            return f"{shown(path)} ends too early: {length} of it could be read; copy it again."
        if self.recordings > 1:
            return (
                f"{shown(path)} holds {self.recordings} recordings one after the other, and each counts its time anew:"
                f" only {length} are searched; index them as files of their own."
            )
        if header.partly_scrambled:
            return f"{shown(path)} is encrypted or damaged in parts: some pictures of its {length} are lost or broken."
        if self.packets or self.pictures:
            return f"{shown(path)} is damaged: some pictures of its {length} are lost or broken."
        if self.times:
            return f"{shown(path)} is damaged: the time stamps of some pictures are wrong, and {length} were found."
        if self.hole_s is not None:
            return f"{shown(path)} has a hole of {self.hole_s:.0f} s in its time stamps; only what is there was read."
        if header.unfinished and header.claimed_s is None:
            return f"{shown(path)} was never finished by its recorder and states no length: {length} were found."
        claimed_s = header.claimed_s
        if header.container == "mov" and header.stated.movie_s is not None:
            claimed_s = header.stated.overstated_s or header.stated.movie_s
        elif header.container not in ("mov", "matroska"):  # the others' word follows from their time stamps
            claimed_s = None
        if claimed_s is not None and claimed_s > (2 * picture_s if header.fragmented else 1.1 * read_s) + 1:
            return f"{shown(path)} claims {claimed_s:.1f} s, of which {length} are there; copy it again."
        return None


@dataclass(frozen=True, slots=True)
class _Packets:
    """The video packets of a file in the order of decoding, (N,) each; times in ticks of the stream's time base."""

    shown_at: NDArray[np.int64]  # presentation time, _NO_TIME where the container gives none
    decoded_at: NDArray[np.int64]
    lasts: NDArray[np.int64]
    is_key: NDArray[np.bool_]
    is_hidden: NDArray[np.bool_]  # by an edit list
    damaged: int
    encrypted: bool
    cut_short: bool
    read_s: float  # the end of the last packet of any stream
    rate_step: int  # by the frame rate that the demuxer tells or supposes; 0 if it has none


@dataclass(frozen=True, slots=True)
class _Timetable:
    """When the pictures are shown, (N,) ticks, rising; and where the last one ends."""

    shown_at: NDArray[np.int64]
    end: int
    usual_step: int


@dataclass(slots=True)
class _Clock:
    """Gives the frames of one pass their time, in ticks: never one twice, never backwards."""

    by_decoding_time: bool
    usual_step: int
    wrong: frozenset[int] = frozenset()  # times that cannot be trusted
    last: int | None = None

    def time_of(self, frame: VideoFrame) -> int | None:
        """None for a frame of a wrong time, or out of order, as damage makes them: a player drops it."""
        time = frame.dts if self.by_decoding_time or frame.pts is None else frame.pts
        if time is None:
            time = 0 if self.last is None else self.last + self.usual_step
        if time in self.wrong:
            return None
        if self.last is not None and time <= self.last:
            return None
        self.last = time
        return time


class PyavReader:
    """A file that PyAV reads. See `interface.VideoReader` for the interface."""

    def __init__(self, path: Path, header: Header, spec: FrameSpec) -> None:
        self.path = path
        self._header = header
        self._spec = spec
        self._by_decoding_time = header.container in _NO_PRESENTATION_TIMES
        packets, self._time_base = _scan(path)
        self._packets = packets
        decoded_s = packets.decoded_at[packets.decoded_at != _NO_TIME] * self._time_base
        self._damage = _Damage(packets.damaged, cut_short=packets.cut_short, recordings=recordings(decoded_s))
        self._trusted = self._trusted_packets()
        self._whole_groups = self._groups_are_known()
        step = _usual_step(packets)
        self._wrong = self._wrong_times()
        with closing(self._frames(None, self._clock(step))) as frames:
            first = next((frame for frame in frames if not frame[1].is_corrupt), None)
        if first is None:
            raise _nothing_shown(path, header, packets)
        self._table = self._timetable(first[0], step)
        self._facts = self._measure(first[1])

    @property
    def facts(self) -> VideoFacts:
        end_s = self._facts.start_s + self._facts.picture_s
        read_s = max(end_s, self._packets.read_s)
        damage = self._damage.sentence(self.path, self._header, self._facts.picture_s, read_s)
        return replace(self._facts, damage=damage)

    @property
    def starts_s(self) -> NDArray[np.float64]:
        """See `VideoReader.starts_s`."""
        return np.asarray(self._table.shown_at * self._time_base, dtype=np.float64)

    def frames_at(self, times_s: Sequence[float]) -> Iterator[NDArray[np.uint8]]:
        """See `VideoReader.frames_at`."""
        return (picture for _, picture in self.pictures_at(times_s))

    def pictures_at(self, times_s: Sequence[float]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """See `VideoReader.pictures_at`."""
        if not times_s:
            return
        targets = self._targets(times_s)
        done = 0
        if self._whole_groups:
            for picture in self._pictures(targets, self._needed(targets)):
                if picture is None:  # a group began with a key frame that was none: believe no key frame any more
                    self._whole_groups = False
                    break
                yield picture
                done += 1
        if done < len(targets):
            for picture in self._pictures(targets[done:], None):
                if picture is None:
                    raise VideoError("corrupt", f"{shown(self.path)} gave a picture once and none now; copy it again.")
                yield picture

    def spare_memory(self) -> None:
        """Nothing is decoded before it is asked for."""

    def close(self) -> None:
        """Nothing stays open between two calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _targets(self, times_s: Sequence[float]) -> NDArray[np.int64]:
        """For each time the ticks at which its frame begins: the last at or before it, clamped to the first."""
        ticks = (np.asarray(times_s, dtype=np.float64) + _MICROSECOND) / self._time_base
        numbers = np.searchsorted(self._table.shown_at, ticks, side="right") - 1
        return self._table.shown_at[np.maximum(numbers, 0)]

    def _clock(self, usual_step: int) -> _Clock:
        return _Clock(self._by_decoding_time, usual_step, self._wrong)

    def _pictures(
        self, targets: NDArray[np.int64], needed: NDArray[np.bool_] | None
    ) -> Iterator[tuple[float, NDArray[np.uint8]] | None]:
        """The picture for each target (rising ticks), with the time at which it begins.

        With all packets decoded, a target that never comes out, or only with parts made up, is shown as a player
        would: by the frame before it, and the first one if there is none before. With only the needed packets decoded
        it gives None and ends.
        """
        clock = self._clock(self._table.usual_step)
        with closing(self._frames(needed, clock, targets)) as decoded:
            frames = decoded if needed is not None else (frame for frame in decoded if not frame[1].is_corrupt)
            before: tuple[int, VideoFrame] | None = None
            current = next(frames, None)
            made: tuple[int, NDArray[np.uint8]] | None = None
            for target in targets.tolist():
                while current is not None and current[0] < target:
                    before, current = current, next(frames, None)
                chosen = current if current is not None and (current[0] == target or before is None) else before
                if chosen is None or (needed is not None and (chosen[0] != target or chosen[1].is_corrupt)):
                    yield None
                    return
                if made is None or made[0] != chosen[0]:
                    made = chosen[0], self._picture(chosen[1])
                yield float(made[0] * self._time_base), made[1]

    def _picture(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """A decoded frame → (side, side, 3) RGB, upright."""
        turned = self._header.rotation_deg % 180 != 0
        width, height = frame.width * self._header.pixel_aspect, float(frame.height)
        size = scaled_size(height, width, self._spec)[::-1] if turned else scaled_size(width, height, self._spec)
        scaled = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="BILINEAR", threads=1)
        upright = self._header.orientation.upright(scaled.to_ndarray().astype(np.uint8, copy=False))
        return np.ascontiguousarray(cut_square(upright, self._spec))

    def _frames(
        self, needed: NDArray[np.bool_] | None, clock: _Clock, targets: NDArray[np.int64] | None = None
    ) -> Generator[tuple[int, VideoFrame], None, None]:
        """Time and frame in the order of showing, from a pass over the file that decodes the `needed` packets."""
        wanted = None if needed is None or targets is None else np.isin(self._packets.shown_at, targets)
        skips = wanted is not None and self._header.codec in _SKIPS_UNREFERENCED and not self._header.interlaced
        last = len(self._packets.shown_at) - 1 if needed is None else int(np.flatnonzero(needed)[-1])
        with opened(self.path) as (container, stream):
            context = stream.codec_context
            context.thread_count = 1
            running = False
            for number, packet in enumerate(_demux(container, stream)):
                if number > last:
                    break
                if needed is not None and not needed[number]:
                    if running:
                        yield from self._decoded(stream, None, clock)
                        context.flush_buffers()
                    running = False
                    continue
                if skips and wanted is not None:
                    context.skip_frame = "DEFAULT" if wanted[number] else "NONREF"
                yield from self._decoded(stream, packet, clock)
                running = True
            if running:
                yield from self._decoded(stream, None, clock)

    def _decoded(
        self, stream: VideoStream, packet: Packet[VideoStream] | None, clock: _Clock
    ) -> Iterator[tuple[int, VideoFrame]]:
        """What comes out for one packet (None: what is left in the decoder); damage is counted, not raised."""
        try:
            frames = stream.codec_context.decode(packet)
        except MemoryError:  # PyAV's is an FFmpegError, too
            raise
        except av.FFmpegError:
            self._damage.packets += 1
            return
        for frame in frames:
            self._damage.pictures += frame.is_corrupt
            time = clock.time_of(frame)
            if time is not None:
                yield time, frame

    def _groups_are_known(self) -> bool:
        """Whether the packets say which of them a picture needs: a sound file, with times and true key frames."""
        return (
            self._header.codec in _CLEAN_GROUPS
            and not self._by_decoding_time
            and not self._header.false_key_frames
            and not self._packets.damaged
            and bool(self._trusted.all())
            and not self._header.ends_early
            and bool((self._packets.shown_at != _NO_TIME).all())
            and bool(self._packets.is_key.any())
        )

    def _trusted_packets(self) -> NDArray[np.bool_]:
        """(N,) whose times can be trusted; hidden packets and those without a time count as trusted here."""
        packets = self._packets
        ticks = packets.decoded_at if self._by_decoding_time else packets.shown_at
        judged = ~packets.is_hidden & (ticks != _NO_TIME)
        stated = self._header.stated
        if self._by_decoding_time:  # at a constant rate the number of pictures is a length, too
            stated = replace(stated, media_s=int(judged.sum()) * _usual_step(packets) * self._time_base)
        mask = np.ones(len(ticks), dtype=np.bool_)
        mask[judged] = trusted(ticks[judged] * self._time_base, stated)
        self._damage.times = int((~mask).sum())
        return mask

    def _wrong_times(self) -> frozenset[int]:
        """The ticks of the packets that cannot be trusted, without those that a trusted one has as well."""
        if self._by_decoding_time:
            return frozenset()
        times = self._packets.shown_at
        return frozenset(times[~self._trusted].tolist()) - frozenset(times[self._trusted].tolist())

    def _needed(self, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(N,) packets to decode: for each target those from its key frame to itself, small gaps closed."""
        packets = self._packets
        order = np.argsort(packets.shown_at, kind="stable")
        positions = order[np.searchsorted(packets.shown_at[order], targets)]
        keys = np.flatnonzero(packets.is_key)
        needed = np.zeros(len(packets.shown_at), dtype=np.bool_)
        # The first packet says which x264 wrote it: pictures in 4:4:4 of those before 2018 come out wrong without that.
        needed[keys[0]] = self._header.codec == "h264"
        for position in np.unique(positions).tolist():
            group = max(int(np.searchsorted(keys, position, side="right")) - 1, 0)
            # A picture shown before the key frame that it follows in the file is built on the group before, too.
            if group > 0 and packets.shown_at[position] < packets.shown_at[keys[group]]:
                group -= 1
            needed[keys[group] : position + 1] = True
        edges = np.flatnonzero(np.diff(needed.astype(np.int8)))  # last of a run, last of a gap, …
        starts = edges[1::2] if needed[0] else edges[2::2]
        ends = edges[0::2] if needed[0] else edges[1::2]
        for end, start in zip(ends.tolist(), starts.tolist(), strict=False):
            if start - end <= _SMALL_GAP_PACKETS:
                needed[end : start + 1] = True
        return needed

    def _timetable(self, first: int, step: int) -> _Timetable:
        """When each picture is shown, from the first one that comes out of the decoder."""
        packets = self._packets
        visible = ~packets.is_hidden & self._trusted
        if self._by_decoding_time:
            # The decoder holds back as many pictures as it must to put them in order: every time comes that much later.
            times = np.unique(packets.decoded_at[visible])
            late = int(np.searchsorted(times, first))
            times = np.concatenate([times[late:], times[-1] + step * np.arange(1, late + 1)])
            return _Timetable(times, int(times[-1]) + step, step)
        if bool((packets.shown_at == _NO_TIME).all()):  # a bare stream: pictures follow each other at its rate
            times = first + step * np.arange(int(visible.sum()), dtype=np.int64)
            return _Timetable(times, int(times[-1]) + step, step)
        visible &= packets.shown_at >= first
        times, where = np.unique(packets.shown_at[visible], return_index=True)
        if not len(times):
            return _Timetable(np.array([first], dtype=np.int64), first + step, step)
        last = int(packets.lasts[visible][where[-1]])
        end = int(times[-1]) + self._length_of_last(last, step)
        return _Timetable(times, self._cut_by_edit_list(int(times[0]), int(times[-1]), end), step)

    def _length_of_last(self, told: int, step: int) -> int:
        """In ticks: what the container tells of the last picture, unless that is too long to be trusted."""
        second = max(1, round(1 / self._time_base))
        likely = (ticks for ticks in (told, step) if 0 < ticks * self._time_base <= FAR_S)
        length = next(likely, second)
        self._damage.times += told > length
        return length

    def _cut_by_edit_list(self, first: int, last: int, end: int) -> int:
        """The end of the last picture, which an edit list may show for a part of its time only."""
        header = self._header
        if not header.hidden_packets or header.claimed_s is None:
            return end
        edited = first + round(header.claimed_s / self._time_base)
        return edited if last < edited < end else end

    def _measure(self, first: VideoFrame) -> VideoFacts:
        table, base = self._table, self._time_base
        self._damage.hole_s = hole_s(self.starts_s)
        picture_s = (table.end - int(table.shown_at[0])) * base
        width, height = first.width, first.height
        if self._header.rotation_deg % 180:
            width, height = height, width
        return VideoFacts(
            start_s=float(table.shown_at[0] * base),
            picture_s=picture_s,
            fps=len(table.shown_at) / picture_s,
            frames=len(table.shown_at),
            width_px=width,
            height_px=height,
            codec=self._header.codec,
            container=self._header.container,
            rotation_deg=self._header.rotation_deg,
            reader="pyav",
            stated_s=self._header.stated_s,
            recorded_s=self._header.recorded_s,
        )


def _demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The packets of the stream that hold something; an error of the demuxer ends them."""
    try:
        for packet in packets_of(container, stream):
            if packet.size:
                yield packet
    except av.FFmpegError:
        return


def _scan(path: Path) -> tuple[_Packets, float]:
    """One pass over the packets, and the length of a tick in seconds."""
    shown_at, decoded_at, lasts, flags = array("q"), array("q"), array("q"), bytearray()
    damaged, coded, cut_short, read_s = 0, False, False, 0.0
    with opened(path) as (container, stream):
        try:
            for packet in packets_of(container, None if _states_all_streams(container) else stream):
                if not packet.size:
                    continue
                if packet.stream_index != stream.index:
                    read_s = max(read_s, _end_s(packet))
                    continue
                shown_at.append(_NO_TIME if packet.pts is None else packet.pts)
                decoded_at.append(_NO_TIME if packet.dts is None else packet.dts)
                lasts.append(packet.duration or 0)
                flags.append(packet.is_keyframe | packet.is_discard << 1)
                damaged += packet.is_corrupt
                coded = coded or (len(flags) == 1 and packet.has_sidedata("encryption_info"))
        except av.FFmpegError:
            cut_short = True
        time_base = float(stream.time_base or 1 / av.time_base)
        rate = stream.average_rate or stream.guessed_rate
    marks = np.frombuffer(bytes(flags), dtype=np.uint8)
    packets = _Packets(
        shown_at=np.array(shown_at, dtype=np.int64),
        decoded_at=np.array(decoded_at, dtype=np.int64),
        lasts=np.array(lasts, dtype=np.int64),
        is_key=(marks & 1).astype(np.bool_),
        is_hidden=(marks & 2).astype(np.bool_),
        damaged=damaged,
        encrypted=coded,
        cut_short=cut_short,
        read_s=read_s,
        rate_step=round(1 / (float(rate) * time_base)) if rate else 0,
    )
    return packets, time_base


def _states_all_streams(container: InputContainer) -> bool:
    """Whether the container states one length for all its streams: then the end of each must be known."""
    return container.format.name.startswith("matroska")


def _end_s(packet: Packet) -> float:
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _usual_step(packets: _Packets) -> int:
    """The median distance of two pictures in ticks, at least 1."""
    times = packets.shown_at if (packets.shown_at != _NO_TIME).any() else packets.decoded_at
    steps = np.diff(np.unique(times[times != _NO_TIME]))
    if len(steps):
        return max(int(np.median(steps)), 1)
    return max(int(packets.lasts.max(initial=0)) or packets.rate_step, 1)


def _nothing_shown(path: Path, header: Header, packets: _Packets) -> VideoError:
    """Why no picture came out of the whole file."""
    if packets.encrypted or names_access_system(path):
        return encrypted(path)
    if not len(packets.shown_at) and not header.index_packets:
        return VideoError("no-frames", f"{shown(path)} has a video track without a single picture; record it again.")
    if header.ends_early:
        return VideoError("truncated", f"{shown(path)} ends before its first picture is complete; copy it again.")
    return VideoError("corrupt", f"{shown(path)} is damaged: not one picture of it can be decoded; copy it again.")
