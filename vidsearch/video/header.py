"""What opening a file, its first packets and one decoded picture tell, before it is read."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.container
import av.logging
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vidsearch.errors import VideoError
from vidsearch.video.boxes import Movie, Track, is_mp4_without_index, movie
from vidsearch.video.ebml import has_encrypted_video
from vidsearch.video.memory import has_room
from vidsearch.video.messages import os_refusal, shown
from vidsearch.video.orientation import Orientation, orientation
from vidsearch.video.recorded import recorded_s
from vidsearch.video.scrambling import Scrambling, scrambling
from vidsearch.video.structure import avi_length_s, promised_end
from vidsearch.video.timeline import StatedLengths

# One line per damaged macroblock would bury everything else; damage is reported once, in VideoFacts.damage.
av.logging.set_level(None)

# The demuxers that may open a file: those of one file with video, sound, or a picture (to say that it is one). Others
# are lists of other files or addresses (hls, concat, dash, image2): a playlist named .mp4 must not lead an offline
# program elsewhere.
_FORMATS = (
    "3dostr,aac,ac3,aiff,amr,amv,apng,asf,asf_o,av1,avi,caf,cavsvideo,dirac,dv,eac3,film_cpk,flac,flic,flv,gif,gxf,h261,h263,"
    "h264,hevc,ivf,live_flv,lxf,m4v,matroska,webm,mjpeg,mlv,mov,mp3,mpeg,mpegts,mpegvideo,mtv,mxf,nsv,nut,obu,ogg,pva,"
    "r3d,rl2,rm,roq,smjpeg,smk,swf,thp,ty,vc1,viv,vmd,vvc,wav,wtv,wv,yop,yuv4mpegpipe,"
    "bmp_pipe,gif_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,png_pipe,tiff_pipe,webp_pipe,ico"
)
_PICTURE_FORMATS = ("_pipe", "ico")

# Of a sound file the first packets are looked at for how its groups of pictures are built: some minutes of video, a
# few hundredths of a second of work. Their number and bytes are bounded, so that a huge file is not read twice.
_PACKETS_TRIED = 200  # for a first picture
_PACKETS_LOOKED_AT = 4000
_BYTES_LOOKED_AT = 64 << 20
# What decord may read, and which of its codecs show pictures in another order than they are decoded in.
TRUSTED_CONTAINERS = frozenset({"mov", "matroska"})
_REORDERING_CODECS = frozenset({"h264", "hevc", "mpeg4"})
_SYSTEM_ERRORS = {errno.EIO, errno.EACCES, errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.EISDIR}
_MOST_STORED_PIXELS = 150_000_000  # somewhat more than 16K
_LARGEST_PACKET_BYTES = 8 * _MOST_STORED_PIXELS  # such a picture, not coded, of 16 bits a colour
_ODDEST_PIXEL = 8.0  # width : height, or height : width


@dataclass(frozen=True, slots=True)
class Header:
    """What opening a file and decoding one picture tell. Times in seconds; sizes of the stored picture."""

    container: str
    codec: str
    width_px: int
    height_px: int
    pixel_aspect: float  # width : height of one stored pixel
    orientation: Orientation  # to show the stored picture upright
    interlaced: bool
    full_colour: bool  # 4:4:4: as much colour as brightness
    starts_clean: bool  # a picture comes out of the first packets
    start_s: float  # of the video stream
    claimed_s: float | None  # the video stream's length after the header, not to be trusted
    stated: StatedLengths  # lengths of the video that do not follow from its time stamps
    stated_s: (
        float | None
    )  # the whole file's length after the header: its longest stream's, or what an MP4's index says
    index_packets: int  # that the index of an MP4 lists; 0 for other containers
    counted_packets: int  # that the MP4 says to have
    hidden_packets: int  # entries that an edit list hides
    fragmented: bool
    video_streams: int
    false_key_frames: bool  # the index calls packets key frames that are none
    leading_pictures: bool  # pictures shown before the key frame that they follow in the file ("open" groups)
    ends_early: bool  # the structure promises more bytes than the file has
    unfinished: bool  # the writer never came back to fill in the length
    partly_scrambled: bool  # some packets of its video
    utf8_name: bool
    recorded_s: float | None = None  # when it was recorded, in seconds of Unix time

    @property
    def rotation_deg(self) -> int:
        """Clockwise, to show the stored picture upright."""
        return self.orientation.rotation_deg


@contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, VideoStream]]:
    """The container and the video stream that players take, bounded to this one file.

    Raises VideoError if there is nothing to decode.
    """
    try:
        container = av.open(
            str(path.absolute()),
            metadata_errors="replace",
            options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
        )
    except av.FFmpegError as error:
        raise _not_opened(path, error) from error
    with container:
        yield container, _video_stream(path, container)


def packets_of(container: av.container.InputContainer, stream: VideoStream | None) -> Iterator[Packet]:
    """The packets of one stream, or of all. A packet of a stream that no header announced is left out.

    Raises av.FFmpegError at damage that ends the reading, MemoryError if memory is refused.
    """
    while True:
        try:
            yield from container.demux() if stream is None else container.demux(stream)
            return
        except IndexError:  # PyAV looks such a stream up in a list; the demuxer stands behind the packet
            continue
        except MemoryError as error:  # the demuxer's word for an absurd size, too
            if has_room(min(container.size, _LARGEST_PACKET_BYTES)):
                raise av.InvalidDataError(errno.EINVAL, "a packet of an absurd size") from error
            raise MemoryError from error  # PyAV's is an FFmpegError, too


def probe(path: Path) -> Header:
    """The header of one file. Raises VideoError if it holds no video that can be decoded."""
    index = movie(path)
    scrambled = scrambling(path)
    _refuse_encrypted(path, index, scrambled)
    with opened(path) as (container, stream):
        index = index if container.format.name.startswith("mov") else None
        context = stream.codec_context
        _refuse_huge(path, context.width, context.height)
        kind = container.format.name.split(",")[0]
        entries = list(stream.index_entries) if kind == "mov" else []  # elsewhere it grows while reading
        size = path.stat().st_size
        end = max((entry.pos + entry.size for entry in entries), default=0) if kind == "mov" else promised_end(path)
        start_s = _seconds(stream, stream.start_time) or 0.0
        claimed_s = _claimed_duration(container, stream)
        first_packets = _FirstPackets()
        first_packets.read(container, stream, [entry.is_keyframe for entry in entries])
        first = first_packets.frame
        return Header(
            container=kind,
            codec=context.codec.canonical_name,
            width_px=context.width,
            height_px=context.height,
            pixel_aspect=_pixel_aspect(stream),
            orientation=orientation(first) if first is not None else Orientation(),
            interlaced=first is not None and first.interlaced_frame,
            full_colour=first is not None and first.format.name.startswith(("yuv444", "yuvj444")),
            starts_clean=first is not None and not first.is_corrupt,
            start_s=start_s,
            claimed_s=claimed_s,
            stated=_stated_lengths(path, container, stream, index),
            stated_s=_stated_length(index, container, start_s + (claimed_s or 0.0)),
            index_packets=len(entries),
            counted_packets=stream.frames,
            hidden_packets=sum(1 for entry in entries if entry.is_discard),
            fragmented=kind == "mov" and (stream.frames == 0 or (index is not None and index.fragmented)),
            video_streams=sum(1 for other in container.streams.video if not _is_cover(other)),
            false_key_frames=first_packets.false_key_frames,
            leading_pictures=first_packets.leading_pictures,
            ends_early=end is not None and end > size,
            unfinished=kind == "matroska" and end is None,
            partly_scrambled=scrambled.part > 0,
            utf8_name=_is_utf8(path),
            recorded_s=recorded_s(container.metadata, stream.metadata),
        )


def recorded_at(path: Path) -> float | None:
    """As `recorded_s`, of a file: it is opened, nothing of it is decoded. None where it cannot be read."""
    try:
        with opened(path) as (container, stream):
            return recorded_s(container.metadata, stream.metadata)
    except (VideoError, OSError):
        return None


@dataclass(slots=True)
class _FirstPackets:
    """One pass over the first packets: the first picture, and what the groups of pictures look like."""

    frame: VideoFrame | None = None
    false_key_frames: bool = False
    leading_pictures: bool = False
    _key_pts: int | None = None

    def read(self, container: av.container.InputContainer, stream: VideoStream, index_keys: Sequence[bool]) -> None:
        """`index_keys`: for each packet whether the container's index calls it a key frame; empty without an index."""
        context = stream.codec_context
        context.thread_count = 1
        kind = container.format.name.split(",")[0]
        wanted = _PACKETS_LOOKED_AT if _shows_groups(kind, context.codec.canonical_name) else 0
        size = 0
        try:
            for number, packet in enumerate(packets_of(container, stream)):
                size += packet.size
                if self.frame is None and number < _PACKETS_TRIED:
                    self.frame = next(iter(packet.decode()), None)
                elif number >= wanted or size > _BYTES_LOOKED_AT:
                    return
                if number < wanted and packet.size:
                    self._note(packet, number < len(index_keys) and index_keys[number])
        except MemoryError:  # PyAV's is an FFmpegError, too
            raise
        except av.FFmpegError:
            return  # damage, which the reader meets again and reports

    def _note(self, packet: Packet[VideoStream], called_key: bool) -> None:
        self.false_key_frames |= called_key and not packet.is_keyframe
        if packet.is_keyframe:
            self._key_pts = packet.pts
        elif packet.pts is not None and self._key_pts is not None:
            self.leading_pictures |= packet.pts < self._key_pts


def _shows_groups(kind: str, codec: str) -> bool:
    """Whether the answer matters: only for files that decord might read otherwise."""
    return kind in TRUSTED_CONTAINERS and codec in _REORDERING_CODECS


def _claimed_duration(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None:
        return _seconds(stream, stream.duration)
    return _container_length(container)


def _stated_length(index: Movie | None, container: av.container.InputContainer, video_end_s: float) -> float | None:
    """What an MP4's movie header says, or the end of its video where that is later; elsewhere the demuxer's word.

    The demuxer's word on an MP4 is its longest stream's, and a lost time stamp makes hours of that. A movie header that
    goes far beyond all tracks is not trusted.
    """
    if index is None or index.length_s is None:
        return _container_length(container)
    movie_s = index.longest_s if _overstates(index) else index.length_s
    return max(movie_s, video_end_s)


def _overstates(index: Movie) -> bool:
    return index.length_s is not None and 0 < 2 * index.longest_s + 10.0 < index.length_s


def _stated_lengths(
    path: Path, container: av.container.InputContainer, stream: VideoStream, index: Movie | None
) -> StatedLengths:
    if container.format.name == "avi":
        return StatedLengths(avi_length_s(path))
    if index is None:
        return StatedLengths()
    videos = [track for track in index.tracks if track.kind == b"vide"]
    sounds = [track.media_s for track in index.tracks if track.kind == b"soun" and track.media_s]
    video = next((track for track in videos if track.number == stream.id), videos[0] if videos else None)
    if video is None:
        return StatedLengths(index.length_s)
    overstated_s = index.length_s if _overstates(index) else None
    return StatedLengths(video.shown_s or index.length_s, video.media_s, max(sounds, default=None), overstated_s)


def _refuse_encrypted(path: Path, index: Movie | None, scrambled: Scrambling) -> None:
    """Raises VideoError before anything is decoded: a decoder may make grey pictures of encrypted data."""
    tracks: tuple[Track, ...] = index.tracks if index is not None else ()
    protected = any(track.kind == b"vide" and track.encrypted for track in tracks)
    if protected or has_encrypted_video(path) or scrambled.whole:
        raise encrypted(path)


def _refuse_huge(path: Path, width_px: int, height_px: int) -> None:
    """Raises VideoError before the first picture is decoded."""
    if width_px * height_px > _MOST_STORED_PIXELS:
        raise VideoError(
            "memory",
            f"{shown(path)} has pictures of {width_px} x {height_px} pixels, too many to be decoded; make it smaller.",
        )


def encrypted(path: Path) -> VideoError:
    """The error for a file whose pictures are protected."""
    return VideoError("encrypted", f"{shown(path)} is encrypted (DRM); only a copy without protection can be read.")


def _pixel_aspect(stream: VideoStream) -> float:
    """Width : height of a pixel; 1 for one that no camera or disc has, which would make pictures of gigabytes."""
    given = stream.sample_aspect_ratio
    aspect = float(given) if given else 1.0
    return aspect if 1 / _ODDEST_PIXEL <= aspect <= _ODDEST_PIXEL else 1.0


def _container_length(container: av.container.InputContainer) -> float | None:
    return container.duration / av.time_base if container.duration is not None else None


def _seconds(stream: VideoStream, ticks: int | None) -> float | None:
    return None if ticks is None or stream.time_base is None else float(ticks * stream.time_base)


def _video_stream(path: Path, container: av.container.InputContainer) -> VideoStream:
    kind = container.format.name
    if any(mark in kind for mark in _PICTURE_FORMATS) and kind != "yuv4mpegpipe":
        raise VideoError("not-a-video", f"{shown(path)} is a picture, not a video; leave it out with --exclude.")
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise VideoError("no-video-stream", f"{shown(path)} holds no video, only sound or a cover picture.")
    best = container.streams.best("video")  # FFmpeg's choice, and decord's
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoError(
            "unsupported-codec", f"{shown(path)} is coded in a way that no decoder here reads; convert it to H.264."
        )
    return stream


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def refused(path: Path, error: OSError) -> VideoError:
    """The error for an OSError: PyAV's may be a demuxer's word on what it read, not the system's."""
    if isinstance(error, av.FFmpegError) and error.errno not in _SYSTEM_ERRORS:
        return VideoError("corrupt", f"{shown(path)} is damaged where it describes its content; copy it again.")
    return os_refusal(path, error)


def _not_opened(path: Path, error: av.FFmpegError) -> VideoError:
    """Why no demuxer took the file, as the user should hear it."""
    if isinstance(error, OSError):
        return refused(path, error)
    if path.stat().st_size == 0:
        return VideoError("empty-file", f"{shown(path)} is empty; copy or record it again.")
    if is_mp4_without_index(path):
        return VideoError(
            "truncated",
            f"{shown(path)} has lost its end, where an MP4 keeps its index; copy it again or repair it.",
        )
    return VideoError("not-a-video", f"{shown(path)} is not a video: no format fits its content.")


def _is_utf8(path: Path) -> bool:
    try:
        str(path.absolute()).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
