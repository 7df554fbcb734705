"""Which videos pass a query's filters: decided in SQL, before anything is ranked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidsearch.records import (
    Before,
    ClipWindow,
    Filter,
    IndexedVideo,
    LeftOutVideos,
    MaxDuration,
    MinDuration,
    MinHeight,
    Named,
    NotUnder,
    ReadBy,
    Since,
    Suffix,
    Under,
    VideoFacts,
    VideoFile,
    WindowSpec,
)
from vidsearch.store.library import Library
from vidsearch.workflows.query import searched_filters


def put(
    library: Library,
    path: str,
    *,
    length_s: float = 10.0,
    height_px: int = 480,
    reader: str = "decord",
    written: datetime = datetime(2025, 7, 14),
    recorded: datetime | None = None,
) -> None:
    facts = VideoFacts(0.0, length_s, 10.0, 100, 640, height_px, "h264", "mov", 0, reader)  # type: ignore[arg-type]
    facts = VideoFacts(
        **{name: getattr(facts, name) for name in facts.__slots__}  # type: ignore[arg-type]
        | {"recorded_s": recorded.timestamp() if recorded else None}
    )
    file = VideoFile(Path(path), 1000, int(written.timestamp() * 1e9))
    windows = (ClipWindow(0.0, length_s, (0.0,)),)
    library.record_indexed(
        IndexedVideo(file, os.fsencode(path).hex(), facts, windows, np.ones((1, 2)), "m", WindowSpec())
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library.open(tmp_path_factory.mktemp("filters")) as opened:
        put(opened, "/v/a/one.mp4", length_s=5, height_px=1080)
        put(opened, "/v/a/IMG_2.MOV", length_s=60, reader="pyav", recorded=datetime(2024, 2, 29, 12))
        put(opened, "/v/b/three.mp4.mkv", length_s=600, written=datetime(2023, 1, 1))
        put(opened, "/v/b/Cafe\u0301 [4].mp4", height_px=2160, recorded=datetime(2025, 7, 31, 23, 59))
        put(opened, os.fsdecode(b"/v/b/caf\xe9.mp4"), written=datetime(2025, 8, 1))
        yield opened


def passing(library: Library, *filters: Filter) -> set[str]:
    found = library.search(np.ones(2), model="m", limit=99, filters=searched_filters(filters))
    return {os.fsencode(window.path).decode(errors="replace")[3:] for window in found}


ONE, IMG, MKV, ACUTE, LATIN = "a/one.mp4", "a/IMG_2.MOV", "b/three.mp4.mkv", "b/Cafe\u0301 [4].mp4", "b/caf\ufffd.mp4"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), {ONE, IMG, MKV, ACUTE, LATIN}),
        ((Under(Path("/v/a")), Under(Path("/v/b/three.mp4.mkv"))), {ONE, IMG, MKV}),
        ((NotUnder(Path("/v/a")), NotUnder(Path("/v/b/three.mp4.mkv"))), {ACUTE, LATIN}),
        ((Under(Path("/v")), NotUnder(Path("/v/a"))), {MKV, ACUTE, LATIN}),
        ((Named("img_*"),), {IMG}),
        ((Named("caf?*.mp4"),), {ACUTE, LATIN}),
        ((Named("CAF\u00c9*"),), {ACUTE}),
        ((Named("*[[]4]*"),), {ACUTE}),
        ((Named("caf\udce9*"),), {LATIN}),
        ((Suffix("\udcff"),), set()),
        ((Named("a*"),), set()),
        ((Named("one*"), Named("*.mov")), {ONE, IMG}),
        ((Suffix("mp4"),), {ONE, ACUTE, LATIN}),
        ((Suffix("mov"), Suffix("mkv")), {IMG, MKV}),
        ((ReadBy("pyav"),), {IMG}),
        ((MinDuration(60),), {IMG, MKV}),
        ((MinDuration(6), MaxDuration(60)), {IMG, ACUTE, LATIN}),
        ((MinHeight(1080),), {ONE, ACUTE}),
        ((Since(datetime(2025, 7, 1)), Before(datetime(2025, 8, 1))), {ONE, ACUTE}),
        ((Before(datetime(2025, 1, 1)),), {IMG, MKV}),
        ((Since(datetime(2025, 8, 1)),), {LATIN}),
        ((Since(datetime(1, 1, 1)), Before(datetime.max)), {ONE, IMG, MKV, ACUTE, LATIN}),
        ((Suffix("mp4"), MinHeight(1080), Under(Path("/v/b"))), {ACUTE}),
    ],
)
def test_a_video_is_searched_if_it_passes(library: Library, filters: tuple[Filter, ...], expected: set[str]) -> None:
    assert passing(library, *filters) == expected


def test_videos_can_be_left_out_by_number(library: Library) -> None:
    ids = {window.video_id for window in library.search(np.ones(2), model="m", limit=2)}
    assert len(passing(library, LeftOutVideos(frozenset(ids)))) == 3


kinds = st.one_of(
    st.sampled_from([Under(Path("/v/a")), Under(Path("/v/b")), NotUnder(Path("/v/a")), Named("*c*"), ReadBy("decord")]),
    st.builds(MinDuration, st.floats(0, 700)),
    st.builds(MaxDuration, st.floats(0, 700)),
    st.builds(MinHeight, st.integers(1, 2200)),
    st.builds(Since, st.datetimes(datetime(2022, 1, 1), datetime(2026, 1, 1))),
    st.builds(Before, st.datetimes(datetime(2022, 1, 1), datetime(2026, 1, 1))),
)


@given(st.lists(kinds, max_size=4), kinds)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filter_never_adds_a_video(library: Library, filters: list[Filter], more: Filter) -> None:
    """But one more of the alternatives of a kind that is there already: that widens the choice."""
    if any(type(it) is type(more) and isinstance(more, Under | Named | ReadBy) for it in filters):
        return
    assert passing(library, *filters, more) <= passing(library, *filters)


def test_a_hit_says_its_date_and_where_that_is_from(library: Library) -> None:
    found = {window.path.name: window for window in library.search(np.ones(2), model="m", limit=99)}
    assert (found["one.mp4"].date_s, found["one.mp4"].date_recorded) == (datetime(2025, 7, 14).timestamp(), False)
    recorded = found["IMG_2.MOV"]
    assert (recorded.date_s, recorded.date_recorded) == (datetime(2024, 2, 29, 12).timestamp(), True)
