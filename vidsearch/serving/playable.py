"""What a browser is told about a file, so that it can say whether it plays it as it is.

The strings are those of RFC 6381, which `HTMLMediaElement.canPlayType` takes. A file that no browser plays, or whose
times a browser would not keep, is converted (convert.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.video.header import opened

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_EIGHT_BITS = ("yuv420p", "yuvj420p")
_WEBM_SOUND = {"opus": "opus", "vorbis": "vorbis"}
_MP4_SOUND = {"aac": "mp4a.40.2", "mp3": "mp4a.69", "opus": "opus", "flac": "flac"}
_LATEST_START_S = 0.05  # a browser may show a later first picture at 0


@dataclass(frozen=True, slots=True)
class Playable:
    """`type`: a MIME type with codecs to ask a browser about; None: not to be played as it is."""

    type: str | None
    has_sound: bool

    @property
    def content_type(self) -> str:
        """Without the codecs, as a header."""
        return (self.type or "application/octet-stream").partition(";")[0]


def playable(path: Path) -> Playable:
    """Opens the file and reads its head. Raises VideoError if it cannot be opened."""
    with opened(path) as (container, stream):
        sound = container.streams.audio[0].codec_context if container.streams.audio else None
        name = None if sound is None else sound.codec.canonical_name
        return Playable(_type(path, container, stream, name), name is not None)


def _type(path: Path, container: InputContainer, stream: VideoStream, sound: str | None) -> str | None:
    start_s = (stream.start_time or 0) * float(stream.time_base or 0)
    if abs(start_s) > _LATEST_START_S or len(container.streams.video) > 1:
        return None
    formats = container.format.name.split(",")
    if "mp4" in formats:
        mime, sounds, pictures = "video/mp4", _MP4_SOUND, _mp4_codec(stream)
    elif "webm" in formats and path.suffix.lower() == ".webm":
        mime, sounds, pictures = "video/webm", _WEBM_SOUND, _webm_codec(stream)
    else:
        return None
    if pictures is None or (sound is not None and sound not in sounds):
        return None
    codecs = pictures if sound is None else f"{pictures}, {sounds[sound]}"
    return f'{mime}; codecs="{codecs}"'


def _mp4_codec(stream: VideoStream) -> str | None:
    context = stream.codec_context
    extra = bytes(context.extradata or b"")
    match context.codec.canonical_name:
        case "h264" if len(extra) > 3 and extra[0] == 1 and context.pix_fmt in _EIGHT_BITS:
            return f"avc1.{extra[1]:02x}{extra[2]:02x}{extra[3]:02x}"
        case "hevc" if len(extra) > 12 and extra[0] == 1:
            return _hevc_codec(extra)
        case "vp9" if context.pix_fmt in _EIGHT_BITS:
            return "vp09.00.41.08"
        case "av1" if len(extra) > 3:
            return _av1_codec(extra)
    return None


def _webm_codec(stream: VideoStream) -> str | None:
    context = stream.codec_context
    match context.codec.canonical_name:
        case "vp8" | "vp9" as name if context.pix_fmt in _EIGHT_BITS:
            return name
        case "av1" if len(extra := bytes(context.extradata or b"")) > 3:
            return _av1_codec(extra)
    return None


def _hevc_codec(extra: bytes) -> str:
    """ISO/IEC 14496-15, annex E.3, of an HEVCDecoderConfigurationRecord."""
    space = ("", "A", "B", "C")[extra[1] >> 6]
    tier, profile = "LH"[extra[1] >> 5 & 1], extra[1] & 31
    flags = int(f"{int.from_bytes(extra[2:6], 'big'):032b}"[::-1], 2)
    constraints = extra[6:12].rstrip(b"\0")
    return ".".join(
        ["hvc1", f"{space}{profile}", f"{flags:x}", f"{tier}{extra[12]}", *(f"{byte:x}" for byte in constraints)]
    )


def _av1_codec(extra: bytes) -> str:
    """AV1 Codec ISO Media File Format Binding, section 5, of an AV1CodecConfigurationRecord."""
    profile, level = extra[1] >> 5, extra[1] & 31
    tier = "MH"[extra[2] >> 7]
    bits = (12 if extra[2] >> 5 & 1 else 10) if extra[2] >> 6 & 1 else 8
    return f"av01.{profile}.{level:02d}{tier}.{bits:02d}"
