"""When a video was recorded, after its container."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

from vidsearch.records import FrameSpec
from vidsearch.video.header import recorded_at
from vidsearch.video.reader import open_reader
from vidsearch.video.recorded import recorded_s


def moment(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"creation_time": "2025-07-14T10:20:30.000000Z"}, moment(2025, 7, 14, 10, 20, 30)),
        (
            {
                "creation_time": "2025-07-14T10:20:30Z",
                "com.apple.quicktime.creationdate": "2025-07-13T12:00:00+0200",
            },
            moment(2025, 7, 13, 10),
        ),
        ({"DATE": "2025-07-14"}, datetime(2025, 7, 14).timestamp()),
        ({"date": "2012"}, None),
        ({"creation_time": "1904-01-01T00:00:00Z"}, None),
        ({"creation_time": "1970-01-01T00:00:00Z"}, None),
        ({"creation_time": "2999-01-01T00:00:00Z"}, None),
        ({"creation_time": "yesterday at noon"}, None),
        ({}, None),
    ],
)
def test_the_tags_of_a_container(tags: dict[str, str], expected: float | None) -> None:
    assert recorded_s(tags) == recorded_s({}, tags) == expected


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_file_that_says_when_it_was_recorded(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = "2025-07-14T10:20:30Z"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert recorded_at(path) == moment(2025, 7, 14, 10, 20, 30)
    with open_reader(path, FrameSpec(16)) as reader:
        assert reader.facts.recorded_s == recorded_at(path)


def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("nothing")
    assert recorded_at(tmp_path / "text.mp4") is None
    assert recorded_at(tmp_path / "none.mp4") is None
