"""The file that a clip is written to: its streams, its tags, and times that begin at zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import av.container
from av.packet import Packet
from av.stream import Stream

from vidsearch.editing.containers import Container
from vidsearch.editing.source import Source
from vidsearch.errors import VidsearchError

# Tags of the source's file that the new file has its own of.
_NOT_COPIED = (
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "duration",
    "number_of_",
    "bps",
    "_statistics",
)
_QUICKTIME_KEYS = "com."  # as in com.apple.quicktime.creationdate: kept where the muxer is told to


class ClipFile:
    """An open output. `open_clip_file` makes one."""

    def __init__(self, output: av.container.OutputContainer) -> None:
        self.output = output
        self._copies: dict[int, Stream] = {}
        self._first_copies: list[Stream] = []  # in the order of the first source's streams
        self._last: dict[int, int] = {}  # decoding time of each copied stream, which a muxer wants to rise

    def copy_stream(self, stream: Stream) -> Stream:
        """A stream that takes the packets of the source's as they are: size, colour, rotation, language with them."""
        copy = self.output.add_stream_from_template(stream, opaque=True)
        self.take_tags(stream, copy)
        self._copies[stream.index] = copy
        return copy

    def take_packets_of(self, others: Sequence[Stream], streams: Sequence[Stream]) -> None:
        """From now on packets come from `others`, each of which goes where the stream in its place in `streams` went.

        VidsearchError if they are not as many.
        """
        if len(others) != len(streams):
            raise VidsearchError("The sources have different sound or subtitles; join them with --precise.")
        if not self._first_copies:
            self._first_copies = [self._copies[stream.index] for stream in streams]
        self._copies = {other.index: copy for other, copy in zip(others, self._first_copies, strict=True)}
        self._last = {}

    @staticmethod
    def take_tags(stream: Stream, copy: Stream) -> None:
        """Language, title, and what the stream is for."""
        copy.metadata.update(_tags(stream.metadata))
        copy.disposition = stream.disposition

    def takes(self, packet: Packet) -> bool:
        """Whether its stream is copied."""
        return packet.stream_index in self._copies

    def copy_packet(self, packet: Packet, zero_s: float) -> None:
        """Write a packet of a copied stream, `zero_s` of the source being the clip's beginning."""
        assert packet.time_base is not None
        shift = round(zero_s / packet.time_base)
        if packet.pts is not None:
            packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
            self._mend(packet)
        packet.stream = self._copies[packet.stream_index]
        self.output.mux(packet)

    def _mend(self, packet: Packet) -> None:
        """Decoding times that damage has brought out of order: they rise, and nothing is shown before it is decoded."""
        assert packet.dts is not None
        if packet.pts is not None:
            packet.dts = min(packet.dts, packet.pts)
        packet.dts = max(packet.dts, self._last.get(packet.stream_index, packet.dts - 1) + 1)
        if packet.pts is not None:
            packet.pts = max(packet.pts, packet.dts)
        self._last[packet.stream_index] = packet.dts

    def copy_subtitle(self, packet: Packet, zero_s: float) -> None:
        """The same for a line that began before the clip and is still read in it: it begins with the clip."""
        assert packet.time_base is not None and packet.pts is not None
        late = max(0, round(zero_s / packet.time_base) - packet.pts)
        packet.pts += late
        packet.dts = packet.pts
        packet.duration = max(0, (packet.duration or 0) - late)
        self.copy_packet(packet, zero_s)


@contextmanager
def open_clip_file(target: Path, container: Container, source: Source) -> Iterator[ClipFile]:
    """A clip to fill, with the tags of its source. Raises OSError if the disk is full or refuses."""
    tags = _tags(source.container.metadata)
    options = {"movflags": "use_metadata_tags"} if any(key.startswith(_QUICKTIME_KEYS) for key in tags) else {}
    # A Python file, since FFmpeg's own does not tell when its last bytes find no room.
    with target.open("wb") as file:
        output = av.open(file, "w", format=container.muxer, container_options=options)
        try:
            output.metadata.update(tags)
            yield ClipFile(output)
        finally:
            output.close()
        file.flush()


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in metadata.items()
        if not key.lower().startswith(_NOT_COPIED) and key.lower() != "timecode"
    }
